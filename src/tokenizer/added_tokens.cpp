#include "added_tokens.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>
#include <prune/core/utf8.h>

#include <algorithm>

#include "character_classes.h"

namespace prune::tokenizer {
namespace {

/// Start of the white space that ends at `end`; at least `limit`.
size_t white_space_before(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const size_t last = last_character(text.substr(0, end));
    if (!is_white_space(decode_utf8(text, last).code_point)) break;
    end = last;
  }
  return std::max(end, limit);
}

size_t white_space_after(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const Decoded c = decode_utf8(text, begin);
    if (!is_white_space(c.code_point)) break;
    begin += c.size_bytes;
  }
  return begin;
}

/// True if no word character is adjacent.
bool stands_alone(std::string_view text, Span span) {
  if (span.begin > 0) {
    const size_t before = last_character(text.substr(0, span.begin));
    if (is_word_character(decode_utf8(text, before).code_point)) return false;
  }
  return span.end == text.size() || !is_word_character(decode_utf8(text, span.end).code_point);
}

}  // namespace

AddedToken read_added_token(const json& description) {
  if (description.is_string()) {
    return {.content = description.get<std::string>(), .normalized = false, .special = true};
  }
  const bool special = value_or(description, "special", false);
  return {.content = require<std::string>(description, "content"),
          .single_word = value_or(description, "single_word", false),
          .lstrip = value_or(description, "lstrip", false),
          .rstrip = value_or(description, "rstrip", false),
          .normalized = value_or(description, "normalized", !special),
          .special = special};
}

void StringFinder::add(std::string_view text, size_t value) {
  if (text.empty()) return;
  size_t node = 0;
  for (const char c : text) {
    auto& next = nodes_[node].next;
    const auto found =
        std::find_if(next.begin(), next.end(), [c](auto& e) { return e.first == c; });
    if (found != next.end()) {
      node = found->second;
    } else {
      next.emplace_back(c, nodes_.size());
      node = nodes_.size();
      nodes_.emplace_back();
    }
  }
  nodes_[node].value = value;
  starts_[static_cast<unsigned char>(text[0])] = true;
}

std::optional<StringFinder::Found> StringFinder::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Found> longest;
    size_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      const auto& next = nodes_[node].next;
      const auto found =
          std::find_if(next.begin(), next.end(), [&](auto& e) { return e.first == text[at]; });
      if (found == next.end()) break;
      node = found->second;
      if (nodes_[node].value) longest = Found{{begin, at + 1}, *nodes_[node].value};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

void AddedTokens::add(AddedToken token, const Model& model) {
  if (token.content.empty()) return;
  // A text may start a long token over and over without completing it; each start costs its length.
  constexpr size_t kMaxBytes = 1024;
  if (token.content.size() > kMaxBytes) {
    throw Error(ErrorKind::kInput,
                fmt::format("added token '{}' has {} bytes, the limit is {}",
                            printable(token.content), token.content.size(), kMaxBytes));
  }
  std::optional<uint32_t> id = id_of(token.content);
  if (!id) id = model.id_of(token.content);
  if (!id) {
    const auto model_size = static_cast<int64_t>(model.size());
    id = static_cast<uint32_t>(std::max(model_size, end_id_));
  }
  end_id_ = std::max(end_id_, int64_t{*id} + 1);
  if (const auto old = by_id_.find(*id); old != by_id_.end()) {
    entries_[old->second].replaced = true;
    by_content_.erase(entries_[old->second].token.content);
  }
  by_id_[*id] = by_content_[token.content] = entries_.size();
  if (token.special) special_.insert(token.content);
  entries_.push_back({.token = std::move(token), .id = *id});
}

void AddedTokens::prepare(const Normalizer& normalizer, bool split_special) {
  split_special_ = split_special;
  raw_ = {};
  normalized_ = {};
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].replaced) continue;
    std::string content = entries_[i].token.content;
    if (!entries_[i].token.normalized) {
      raw_.add(content, i);
      continue;
    }
    if (normalizer) normalizer(content);
    normalized_.add(content, i);
  }
}

std::optional<uint32_t> AddedTokens::id_of(const std::string& content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? std::nullopt : std::optional(entries_[found->second].id);
}

std::optional<std::string_view> AddedTokens::token_of(uint32_t id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return entries_[found->second].token.content;
}

bool AddedTokens::is_matched(const Entry& entry, std::string_view text, Span span) const {
  if (split_special_ && special_.contains(entry.token.content)) return false;
  return !entry.token.single_word || stands_alone(text, span);
}

std::vector<Segment> AddedTokens::split(std::string_view text, const StringFinder& finder) const {
  std::vector<Segment> segments;
  size_t done = 0;
  size_t from = 0;
  while (const auto found = finder.empty() ? std::nullopt : finder.find(text, from)) {
    from = found->span.end;  // the next search starts here, even if rstrip takes more text
    const Entry& entry = entries_[found->value];
    if (!is_matched(entry, text, found->span)) continue;
    Span span = found->span;
    if (entry.token.lstrip) span.begin = white_space_before(text, span.begin, done);
    if (entry.token.rstrip) span.end = white_space_after(text, span.end);
    if (done < span.begin) segments.push_back({{done, span.begin}, std::nullopt});
    segments.push_back({span, entry.id});
    done = span.end;
  }
  if (done < text.size()) segments.push_back({{done, text.size()}, std::nullopt});
  return segments;
}

}  // namespace prune::tokenizer
