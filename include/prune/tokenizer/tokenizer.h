#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prune::tokenizer {

/// Text to token ids, equal to what Transformers' tokenizer of the same folder returns for one call
/// `tokenizer(text)`: special tokens of the post-processor (BOS) included once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Invalid UTF-8 is replaced by U+FFFD first, as Python's errors="replace" does.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  /// One more than the largest id, added tokens included.
  virtual int64_t vocab_size() const = 0;
};

/// Opens tokenizer.json, else vocab.json + merges.txt (GPT-2's byte-level BPE with OPT's BOS rule,
/// FORMATS §6.2), as they lie in a checkpoint folder; tokenizer_config.json's add_bos_token and
/// add_eos_token are honoured (FORMATS §6.4).
/// @throws Error(input): no tokenizer files, or a component we do not know, by its name.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace prune::tokenizer
