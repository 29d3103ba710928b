#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prune::tokenizer {

/// Converts text to token ids. The ids equal those of one call `tokenizer(text)` of Transformers for the
/// same folder: the post-processor adds special tokens (BOS) once per call.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Replaces invalid UTF-8 by U+FFFD first, as Python's errors="replace" does. Thread-safe.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  /// One more than the largest id, added tokens included.
  virtual int64_t vocab_size() const = 0;
};

/// Opens the tokenizer of a checkpoint folder: tokenizer.json, else vocab.json with merges.txt, else a
/// SentencePiece tokenizer.model (src/tokenizer/README.md, "Files of a folder").
/// @throws Error(input) if the folder has no tokenizer, a file is broken, or a component is not
///         supported, with the name of that component.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace prune::tokenizer
