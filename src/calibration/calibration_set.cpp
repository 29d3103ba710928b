#include <fmt/format.h>
#include <prune/calibration/calibration_set.h>
#include <prune/core/error.h>
#include <prune/core/python_random.h>
#include <prune/core/sha256.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

namespace prune::calibration {
namespace {

// SparseGPT's loader for C4's validation part.
constexpr size_t kValidationDocuments = 1100;
constexpr int64_t kValidationSegments = 256;

void check_lengths(int64_t seqlen, int64_t nsamples) {
  if (seqlen < 1) {
    throw Error(ErrorKind::kUsage, fmt::format("seqlen is {}; it must be positive", seqlen));
  }
  if (nsamples < 1) {
    throw Error(ErrorKind::kUsage, fmt::format("nsamples is {}; it must be positive", nsamples));
  }
}

void copy_row_(Tensor& ids, int64_t row, const int64_t* source) {
  std::memcpy(ids.data_ptr<int64_t>() + row * ids.size(1), source,
              static_cast<size_t>(ids.size(1)) * sizeof(int64_t));
}

TokenSet token_set(Tensor ids, const TextSource& text) {
  const auto bytes =
      std::as_bytes(std::span(ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())));
  std::string sha256 = sha256_hex(bytes);
  return {.ids = std::move(ids), .source = text.name, .sha256 = std::move(sha256)};
}

std::string joined(const TextSource& text, size_t count) {
  std::string whole;
  for (size_t i = 0; i < std::min(count, text.documents.size()); ++i) {
    if (i > 0) whole.push_back(' ');
    whole += text.documents[i];
  }
  return whole;
}

/// A random window that at least one more id follows: the targets of SparseGPT's loaders are the ids
/// shifted by one.
const int64_t* draw_window(const std::vector<int64_t>& ids, int64_t seqlen, PythonRandom& random) {
  return ids.data() + random.randint(0, static_cast<int64_t>(ids.size()) - seqlen - 1);
}

Tensor sample_windows(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                      const CalibrationOptions& options) {
  const std::vector<int64_t> ids = tokenizer.encode(joined(text, text.documents.size()));
  const auto count = static_cast<int64_t>(ids.size());
  if (count <= options.seqlen) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} tokens, but one calibration sample of seqlen {} needs {}; "
                            "give a longer text or a smaller --seqlen",
                            text.name, count, options.seqlen, options.seqlen + 1));
  }
  PythonRandom random(options.seed);
  Tensor samples = at::empty({options.nsamples, options.seqlen}, at::kLong);
  for (int64_t row = 0; row < options.nsamples; ++row) {
    copy_row_(samples, row, draw_window(ids, options.seqlen, random));
  }
  return samples;
}

/// Draws documents until one is longer than seqlen. It tokenises only the documents it draws: C4's first
/// shard has 356317. SparseGPT's loaders draw forever if no document is long enough; this class counts the
/// documents it found too short and stops when all are.
class DocumentSampler {
 public:
  DocumentSampler(const TextSource& text, const tokenizer::Tokenizer& tokenizer, int64_t seqlen)
      : text_(text), tokenizer_(tokenizer), seqlen_(seqlen), too_short_(text.documents.size()) {}

  std::vector<int64_t> draw(PythonRandom& random) {
    const auto last = static_cast<int64_t>(text_.documents.size()) - 1;
    while (true) {
      const auto index = static_cast<size_t>(random.randint(0, last));
      if (too_short_[index]) continue;
      std::vector<int64_t> ids = tokenizer_.encode(text_.documents[index]);
      const auto count = static_cast<int64_t>(ids.size());
      if (count > seqlen_) return ids;
      longest_ = std::max(longest_, count);
      too_short_[index] = true;
      if (++too_short_count_ == too_short_.size()) throw none_long_enough();
    }
  }

 private:
  Error none_long_enough() const {
    return {ErrorKind::kInput,
            fmt::format("{}: the longest of {} documents has {} tokens, but one calibration sample "
                        "of seqlen {} needs {}; give longer documents, a smaller --seqlen, or the "
                        "same text as .txt, which is sampled as a whole",
                        text_.name, text_.documents.size(), longest_, seqlen_, seqlen_ + 1)};
  }

  const TextSource& text_;
  const tokenizer::Tokenizer& tokenizer_;
  int64_t seqlen_;
  std::vector<bool> too_short_;
  size_t too_short_count_ = 0;
  int64_t longest_ = 0;
};

Tensor sample_documents(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                        const CalibrationOptions& options) {
  PythonRandom random(options.seed);
  DocumentSampler sampler(text, tokenizer, options.seqlen);
  Tensor samples = at::empty({options.nsamples, options.seqlen}, at::kLong);
  for (int64_t row = 0; row < options.nsamples; ++row) {
    const std::vector<int64_t> ids = sampler.draw(random);
    copy_row_(samples, row, draw_window(ids, options.seqlen, random));
  }
  return samples;
}

}  // namespace

TokenSet sample_calibration(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options) {
  check_lengths(options.seqlen, options.nsamples);
  if (text.documents.empty()) {
    throw Error(ErrorKind::kInput, fmt::format("{}: contains no text", text.name));
  }
  Tensor samples = text.whole_text ? sample_windows(text, tokenizer, options)
                                   : sample_documents(text, tokenizer, options);
  return token_set(std::move(samples), text);
}

TokenSet evaluation_segments(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                             int64_t seqlen, int64_t max_segments) {
  check_lengths(seqlen, 1);
  int64_t limit = max_segments;
  if (!text.whole_text) {
    limit = max_segments > 0 ? std::min(max_segments, kValidationSegments) : kValidationSegments;
  }
  const std::vector<int64_t> ids = tokenizer.encode(
      joined(text, text.whole_text ? text.documents.size() : kValidationDocuments));
  int64_t segments = static_cast<int64_t>(ids.size()) / seqlen;
  if (segments == 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} tokens, less than one segment of seqlen {}; give a longer "
                            "text or a smaller --seqlen",
                            text.name, ids.size(), seqlen));
  }
  if (limit > 0) segments = std::min(segments, limit);
  Tensor rows = at::empty({segments, seqlen}, at::kLong);
  for (int64_t row = 0; row < segments; ++row) copy_row_(rows, row, ids.data() + row * seqlen);
  return token_set(std::move(rows), text);
}

}  // namespace prune::calibration
