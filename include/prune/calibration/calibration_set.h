#pragma once

#include <prune/calibration/text_source.h>
#include <prune/core/tensor.h>
#include <prune/tokenizer/tokenizer.h>

#include <cstdint>
#include <string>

namespace prune::calibration {

/// Token ids that run through the model, with what identifies them in a report.
struct TokenSet {
  Tensor ids;          ///< [samples, seqlen] int64, CPU
  std::string source;  ///< name of the text
  std::string sha256;  ///< of the ids as little-endian int64
  int64_t samples() const { return ids.size(0); }
  int64_t seqlen() const { return ids.size(1); }
};

struct CalibrationOptions {
  int64_t nsamples = 128;  ///< SparseGPT's number
  int64_t seqlen = 2048;
  uint64_t seed = 0;
};

/// Draws samples as SparseGPT's loaders do, with CPython's generator (FORMATS §7.1): for whole text,
/// windows randint(0, len - seqlen - 1) of the joined ids; for documents, a random document until one
/// is longer than seqlen, then a random window of it.
/// @throws Error(input) when the text is too short for one sample, with the lengths.
TokenSet sample_calibration(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options);

/// Cuts the ids of a text into consecutive segments for perplexity; the tail is dropped (FORMATS
/// §7.2). Documents are joined as C4's validation part: ' '.join of the first 1100, at most 256
/// segments. `max_segments` 0 means all.
/// @throws Error(input) when the text is shorter than one segment.
TokenSet evaluation_segments(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                             int64_t seqlen, int64_t max_segments = 0);

}  // namespace prune::calibration
