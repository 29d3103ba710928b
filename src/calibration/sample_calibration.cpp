#include <fmt/format.h>
#include <prune/calibration/calibration_set.h>
#include <prune/core/error.h>
#include <prune/core/python_random.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <vector>

#include "conversations.h"
#include "token_set.h"

namespace prune::calibration {
namespace {

/// A random window that at least one more id follows: the targets of SparseGPT's loaders are the ids
/// shifted by one.
const int64_t* draw_window(const std::vector<int64_t>& ids, int64_t seqlen, PythonRandom& random) {
  return ids.data() + random.randint(0, static_cast<int64_t>(ids.size()) - seqlen - 1);
}

Tensor sample_windows(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                      const CalibrationOptions& options, TextDescription& about) {
  const std::vector<int64_t> ids = tokenizer::encode_text(
      tokenizer, joined(text.documents, text.separator.value_or("")), options.add_bos);
  const auto count = static_cast<int64_t>(ids.size());
  about.tokens = count;
  about.bos = starts_with_bos(ids, tokenizer);
  if (count <= options.seqlen) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} tokens, but one calibration sample of seqlen {} needs {}; "
                            "give a longer text or a smaller --seqlen",
                            about.name, count, options.seqlen, options.seqlen + 1));
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
  DocumentSampler(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                  const CalibrationOptions& options)
      : text_(text),
        tokenizer_(tokenizer),
        seqlen_(options.seqlen),
        add_bos_(options.add_bos),
        too_short_(text.documents.size()) {}

  std::vector<int64_t> draw(PythonRandom& random) {
    const auto last = static_cast<int64_t>(text_.documents.size()) - 1;
    while (true) {
      const auto index = static_cast<size_t>(random.randint(0, last));
      if (too_short_[index]) continue;
      std::vector<int64_t> ids =
          tokenizer::encode_text(tokenizer_, text_.documents[index], add_bos_);
      const auto count = static_cast<int64_t>(ids.size());
      if (count > seqlen_) return ids;
      longest_ = std::max(longest_, count);
      too_short_[index] = true;
      if (++too_short_count_ == std::ssize(too_short_)) throw none_long_enough();
    }
  }
  int64_t too_short() const { return too_short_count_; }

 private:
  Error none_long_enough() const {
    return {ErrorKind::kInput,
            fmt::format("{}: the longest of {} rows has {} tokens, but one calibration sample "
                        "of seqlen {} needs {}; give longer rows, a smaller --seqlen, or the "
                        "same text as .txt, which is sampled as a whole",
                        text_.about.name, text_.documents.size(), longest_, seqlen_, seqlen_ + 1)};
  }

  const TextSource& text_;
  const tokenizer::Tokenizer& tokenizer_;
  int64_t seqlen_;
  tokenizer::AddBos add_bos_;
  std::vector<bool> too_short_;
  int64_t too_short_count_ = 0;
  int64_t longest_ = 0;
};

Tensor sample_documents(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                        const CalibrationOptions& options, TextDescription& about) {
  PythonRandom random(options.seed);
  DocumentSampler sampler(text, tokenizer, options);
  Tensor samples = at::empty({options.nsamples, options.seqlen}, at::kLong);
  for (int64_t row = 0; row < options.nsamples; ++row) {
    const std::vector<int64_t> ids = sampler.draw(random);
    if (row == 0) about.bos = starts_with_bos(ids, tokenizer);
    copy_row_(samples, row, draw_window(ids, options.seqlen, random));
  }
  about.short_rows = sampler.too_short();
  spdlog::info(
      "{}: samples are drawn row by row, not from joined rows; rows: {}; drawn ones too short: {}",
      about.name, text.documents.size(), about.short_rows);
  return samples;
}

}  // namespace

TokenSet sample_calibration(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options) {
  check_lengths(options.seqlen, options.nsamples);
  if (text.documents.empty()) {
    throw Error(ErrorKind::kInput, fmt::format("{}: contains no text", text.about.name));
  }
  TextDescription about = text.about;
  about.joined_by = text.whole_text ? std::nullopt : text.separator;
  about.samples = options.nsamples;
  const auto sample = text.conversations                  ? &sample_conversations
                      : text.whole_text || text.separator ? &sample_windows
                                                          : &sample_documents;
  Tensor samples = sample(text, tokenizer, options, about);
  return token_set(std::move(samples), {std::move(about)});
}

}  // namespace prune::calibration
