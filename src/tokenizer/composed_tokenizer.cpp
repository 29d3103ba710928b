#include "composed_tokenizer.h"

#include <prune/core/utf8.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace prune::tokenizer {
namespace {

std::string_view part_of(std::string_view text, Span span) {
  return text.substr(span.begin, span.end - span.begin);
}

}  // namespace

ComposedTokenizer::ComposedTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {
  parts_.added_tokens.prepare(parts_.normalizer, parts_.split_special_tokens);
  if (!parts_.bos_id) return;
  constexpr int64_t kText = -1;
  std::vector<int64_t> ids = {kText};
  parts_.post_processor(ids);
  const auto other = std::ranges::find_if(ids, [&](int64_t id) { return id != *parts_.bos_id; });
  // A template need not contain the text; then no BOS stands in front of it.
  if (std::ranges::find(ids, kText) != ids.end()) leading_bos_ = other - ids.begin();
}

std::vector<int64_t> ComposedTokenizer::encode(std::string_view text,
                                               bool add_special_tokens) const {
  const std::lock_guard lock(mutex_);
  std::string repaired;
  text = valid_utf8(text, repaired);
  std::vector<int64_t> ids;
  for (const Segment& segment : parts_.added_tokens.split_raw(text)) {
    if (segment.id) {
      ids.push_back(*segment.id);
    } else {
      encode_raw(part_of(text, segment.span), segment.span.begin == 0, ids);
    }
  }
  if (add_special_tokens) parts_.post_processor(ids);
  return ids;
}

void ComposedTokenizer::encode_raw(std::string_view text, bool at_start,
                                   std::vector<int64_t>& ids) const {
  if (!parts_.normalizer) return encode_normalized(text, at_start, ids);
  std::string normalized(text);
  parts_.normalizer(normalized);
  encode_normalized(normalized, at_start, ids);
}

void ComposedTokenizer::encode_normalized(std::string_view text, bool at_start,
                                          std::vector<int64_t>& ids) const {
  for (const Segment& segment : parts_.added_tokens.split_normalized(text)) {
    if (segment.id) {
      ids.push_back(*segment.id);
      continue;
    }
    const Piece piece{part_of(text, segment.span), at_start && segment.span.begin == 0};
    parts_.pre_tokenizer(piece, [&](const Piece& word) { parts_.model->encode(word.text, ids); });
  }
}

std::string ComposedTokenizer::decode(const std::vector<int64_t>& ids,
                                      bool skip_special_tokens) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> tokens;
  for (const int64_t id : ids) {
    std::optional<std::string> token = token_of(id, skip_special_tokens);
    if (token) tokens.push_back(std::move(*token));
  }
  return parts_.decoder(std::move(tokens));
}

bool ComposedTokenizer::is_settled(const std::vector<int64_t>& ids,
                                   bool skip_special_tokens) const {
  if (!parts_.decoder.has_byte_fallback()) return true;
  const std::lock_guard lock(mutex_);
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    const std::optional<std::string> token = token_of(*id, skip_special_tokens);
    if (token) return !is_byte_token(*token);
  }
  return true;
}

std::optional<std::string> ComposedTokenizer::token_of(int64_t id, bool skip_special_tokens) const {
  if (id < 0 || id > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  const auto number = static_cast<uint32_t>(id);
  std::optional<std::string_view> token = parts_.added_tokens.token_of(number);
  if (!token) token = parts_.model->token_of(number);
  if (!token) return std::nullopt;
  std::string text(*token);
  if (skip_special_tokens && parts_.added_tokens.is_special(text)) return std::nullopt;
  return text;
}

int64_t ComposedTokenizer::vocab_size() const {
  return std::max(parts_.model->end_id(), parts_.added_tokens.end_id());
}

}  // namespace prune::tokenizer
