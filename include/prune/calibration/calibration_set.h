#pragma once

#include <prune/calibration/text_source.h>
#include <prune/core/tensor.h>
#include <prune/tokenizer/tokenizer.h>

#include <cstdint>
#include <string>
#include <vector>

namespace prune::calibration {

/// Token ids that run through the model, and what identifies them in a report.
struct TokenSet {
  Tensor ids;                          ///< [samples, seqlen] int64, CPU
  std::string source;                  ///< names of the texts, with commas between them
  std::string sha256;                  ///< SHA-256 of the ids as little-endian int64
  std::vector<TextDescription> texts;  ///< how each text was read
  int64_t samples() const { return ids.size(0); }
  int64_t seqlen() const { return ids.size(1); }
};

struct CalibrationOptions {
  int64_t nsamples = 128;  ///< SparseGPT's default
  int64_t seqlen = 2048;
  uint64_t seed = 0;
  tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto;
};

/// Draws samples as SparseGPT's loaders do, with CPython's generator. From one text it draws windows that
/// start at randint(0, len - seqlen - 1). From rows it draws until a row is longer than seqlen, then draws one
/// window of that row. Conversations follow one another until a sample is full (src/calibration/README.md,
/// "Sampling").
/// @throws Error(input) if the text is too short for one sample, with both lengths; Error(usage) if
///         nsamples or seqlen is not positive.
TokenSet sample_calibration(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options);

/// Reads files and shares the samples among them by weight. Each file gives the samples that it would give alone;
/// they are interleaved, so that the first samples have the same mixture as all.
/// @param templates  as in load_text()
/// @throws Error as load_text(), sample_calibration() of one text and sample_shares().
TokenSet sample_calibration(const std::vector<TextFile>& files,
                            const chat::TemplateChoice& templates,
                            const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options);

/// How many of the samples each file gives: in proportion to its weight, by largest remainder.
/// @throws Error(usage) for a weight that is not a positive number, or a file that gives none.
std::vector<int64_t> sample_shares(const std::vector<TextFile>& files, int64_t nsamples);

struct SegmentOptions {
  int64_t seqlen = 2048;
  int64_t max_segments = 0;  ///< 0: all
  tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto;
};

/// Cuts the ids of a text into consecutive segments for perplexity and drops the tail. Rows are joined first
/// (src/calibration/README.md, "Evaluation segments").
/// @throws Error(input) if the text is shorter than one segment; Error(usage) if seqlen is not positive.
TokenSet evaluation_segments(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                             const SegmentOptions& options);

}  // namespace prune::calibration
