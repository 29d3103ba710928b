#pragma once

#include <prune/models/weight_loader.h>

#include <memory>

namespace prune::models {

/// The layers before the first block.
class Embedding {
 public:
  virtual ~Embedding() = default;
  /// @param ids [samples, seqlen] int64
  /// @param first position of the first of them in its text
  /// @return the stream before the first block, [samples, seqlen, stream_size] in the computing dtype
  virtual Tensor embed(const Tensor& ids, int64_t first = 0) const = 0;
};

/// The layers after the last block.
class Head {
 public:
  virtual ~Head() = default;
  /// Differentiable in the stream after the last block.
  /// @param stream [..., stream_size]
  /// @return logits [..., vocab_size] in the computing dtype
  virtual Tensor logits(const Tensor& stream) const = 0;
  virtual int64_t vocab_size() const = 0;
  /// Multiplies the normed stream, [vocab_size, hidden_size].
  virtual const Linear& matrix() const = 0;
};

// Parts of the model that a spec describes. @throws Error(input) as WeightLoader::load()
std::unique_ptr<Block> make_block(const DecoderSpec& spec, const WeightLoader& loader,
                                  int64_t block, ExpertWeights experts = ExpertWeights::kResident);
std::unique_ptr<Embedding> make_embedding(const DecoderSpec& spec, const WeightLoader& loader);
std::unique_ptr<Head> make_head(const DecoderSpec& spec, const WeightLoader& loader);

}  // namespace prune::models
