#pragma once

#include <prune/calibration/text_source.h>
#include <prune/core/tensor.h>
#include <prune/tokenizer/tokenizer.h>

#include <cstdint>
#include <string>

namespace prune::calibration {

/// Token ids that run through the model, and the name and hash that identify them in a report.
struct TokenSet {
  Tensor ids;          ///< [samples, seqlen] int64, CPU
  std::string source;  ///< name of the text
  std::string sha256;  ///< SHA-256 of the ids as little-endian int64
  int64_t samples() const { return ids.size(0); }
  int64_t seqlen() const { return ids.size(1); }
};

struct CalibrationOptions {
  int64_t nsamples = 128;  ///< SparseGPT's default
  int64_t seqlen = 2048;
  uint64_t seed = 0;
};

/// Draws samples as SparseGPT's loaders do, with CPython's generator. From whole text it draws windows
/// that start at randint(0, len - seqlen - 1). From documents it draws until a document is longer than
/// seqlen, then draws one window of that document (src/calibration/README.md, "Sampling").
/// @throws Error(input) if the text is too short for one sample, with both lengths; Error(usage) if
///         nsamples or seqlen is not positive.
TokenSet sample_calibration(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options);

/// Cuts the ids of a text into consecutive segments for perplexity and drops the tail. Documents are
/// treated as SparseGPT treats C4's validation part: the first 1100 joined by spaces, at most 256
/// segments (src/calibration/README.md, "Evaluation segments").
/// @param max_segments  0 means all.
/// @throws Error(input) if the text is shorter than one segment; Error(usage) if seqlen is not positive.
TokenSet evaluation_segments(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                             int64_t seqlen, int64_t max_segments = 0);

}  // namespace prune::calibration
