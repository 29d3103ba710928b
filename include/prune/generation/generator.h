#pragma once

#include <prune/models/model.h>

#include <memory>
#include <string>
#include <vector>

namespace prune::generation {

/// How a matrix lies in memory. Reading one token reads them all.
struct MatrixUse {
  std::string form;  ///< "mask + 4 bits", "16 bits", or a dtype
  int64_t elements = 0;
  int64_t size_bytes = 0;
};

/// A whole model in memory that reads a text piece by piece. Keys and values of the tokens before are kept, so each
/// token runs through the blocks once. Only a text that grows beyond the positions of LongRoPE's short factors is read
/// again from its start, as in Transformers.
class Generator {
 public:
  /// Loads all blocks in the model's computing dtype.
  explicit Generator(const models::Model& model);

  /// Reads the next tokens of the text.
  /// @param ids at least one
  /// @return the logits of the token behind them, [vocab_size]
  Tensor read(const std::vector<int64_t>& ids);
  /// Number of tokens read so far.
  int64_t length() const { return caches_.front().length(); }
  /// The blocks' linear layers and the head.
  std::vector<MatrixUse> matrices() const;
  /// Forgets the text.
  void restart();

 private:
  Tensor hidden_behind(const std::vector<int64_t>& ids);

  std::unique_ptr<models::Embedding> embedding_;
  std::vector<std::unique_ptr<models::Block>> blocks_;
  std::unique_ptr<models::Head> head_;
  std::vector<models::BlockCache> caches_;
  int64_t short_positions_ = 0;  // of LongRoPE; 0: another RoPE, or none
  std::vector<int64_t> text_;    // read so far, if it may have to be read again
};

}  // namespace prune::generation
