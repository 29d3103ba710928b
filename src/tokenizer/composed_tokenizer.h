#pragma once

#include <prune/tokenizer/tokenizer.h>

#include <memory>
#include <mutex>

#include "added_tokens.h"
#include "decoder.h"
#include "model.h"
#include "normalizer.h"
#include "post_processor.h"
#include "pre_tokenizer.h"

namespace prune::tokenizer {

/// The parts of a tokenizer, in the sequence in which a text passes through them; the decoder goes back.
struct TokenizerParts {
  AddedTokens added_tokens;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<Model> model;
  PostProcessor post_processor;
  Decoder decoder;
  std::optional<int64_t> bos_id = std::nullopt;  ///< of the folder's bos_token
  std::optional<int64_t> eos_id = std::nullopt;
  std::map<std::string, std::string> special_tokens = {};  ///< as in Tokenizer::special_tokens()
  bool split_special_tokens = false;                       ///< leaves special tokens to the model
};

class ComposedTokenizer : public Tokenizer {
 public:
  explicit ComposedTokenizer(TokenizerParts parts);
  std::vector<int64_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::string decode(const std::vector<int64_t>& ids, bool skip_special_tokens) const override;
  bool is_settled(const std::vector<int64_t>& ids, bool skip_special_tokens) const override;
  int64_t vocab_size() const override;
  std::optional<int64_t> bos_id() const override { return parts_.bos_id; }
  std::optional<int64_t> eos_id() const override { return parts_.eos_id; }
  std::map<std::string, std::string> special_tokens() const override {
    return parts_.special_tokens;
  }
  int64_t leading_bos() const override { return leading_bos_; }

 private:
  void encode_raw(std::string_view text, bool at_start, std::vector<int64_t>& ids) const;
  void encode_normalized(std::string_view text, bool at_start, std::vector<int64_t>& ids) const;

  std::optional<std::string> token_of(int64_t id, bool skip_special_tokens) const;

  // The model caches and the regular expressions keep match registers, so encode or decode one text at a time.
  mutable std::mutex mutex_;
  mutable TokenizerParts parts_;
  int64_t leading_bos_ = 0;
};

}  // namespace prune::tokenizer
