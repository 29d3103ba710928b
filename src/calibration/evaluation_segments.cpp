#include <fmt/format.h>
#include <prune/calibration/calibration_set.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "conversations.h"
#include "token_set.h"

namespace prune::calibration {
namespace {

// The lines of a text file as rows then give the ids of the file.
constexpr const char* kRowSeparator = "\n";

int64_t smaller_limit(int64_t one, int64_t other) {
  if (one == 0 || other == 0) return one + other;
  return std::min(one, other);
}

/// The ids of the whole text.
std::vector<int64_t> ids_of(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            tokenizer::AddBos add_bos, TextDescription& about) {
  if (text.conversations) return encode_conversations(text, tokenizer, add_bos, about);
  if (!text.whole_text) {
    about.joined_by = text.separator.value_or(kRowSeparator);
    spdlog::info("{}: {} rows joined by {}", about.name, text.documents.size(),
                 json_text(*about.joined_by, -1));
  }
  return tokenizer::encode_text(tokenizer, joined(text.documents, about.joined_by.value_or("")),
                                add_bos);
}

}  // namespace

TokenSet evaluation_segments(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                             const SegmentOptions& options) {
  check_lengths(options.seqlen, 1);
  TextDescription about = text.about;
  const std::vector<int64_t> ids = ids_of(text, tokenizer, options.add_bos, about);
  int64_t segments = static_cast<int64_t>(ids.size()) / options.seqlen;
  if (segments == 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} tokens, less than one segment of seqlen {}; give a longer "
                            "text or a smaller --seqlen",
                            about.name, ids.size(), options.seqlen));
  }
  const int64_t limit = smaller_limit(text.segments, options.max_segments);
  if (limit > 0) segments = std::min(segments, limit);
  Tensor rows = at::empty({segments, options.seqlen}, at::kLong);
  for (int64_t row = 0; row < segments; ++row) {
    copy_row_(rows, row, ids.data() + row * options.seqlen);
  }
  about.bos = starts_with_bos(ids, tokenizer);
  about.tokens = static_cast<int64_t>(ids.size());
  about.tokens_cut = *about.tokens - rows.numel();
  about.samples = segments;
  if (*about.tokens_cut > 0) {
    spdlog::info("{}: {} of {} tokens make {} segments of {}; the last {} are not used", about.name,
                 rows.numel(), *about.tokens, segments, options.seqlen, *about.tokens_cut);
  }
  return token_set(std::move(rows), {std::move(about)});
}

}  // namespace prune::calibration
