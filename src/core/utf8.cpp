#include <prune/core/utf8.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstring>

namespace prune {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// The length of a character and the range of its second byte (Unicode Standard, table 3-7).
struct Sequence {
  size_t size_bytes;  // 0: not a lead byte
  unsigned char second_first;
  unsigned char second_last;
};

Sequence sequence_of(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};  // at most U+10FFFF
  return {0, 0, 0};
}

/// A complete character, or the longest valid start of one (at least one byte).
struct Run {
  size_t size_bytes;
  bool valid;
};

Run run_at(std::string_view text, size_t at) {
  const Sequence sequence = sequence_of(static_cast<unsigned char>(text[at]));
  if (sequence.size_bytes == 0) return {1, false};
  for (size_t i = 1; i < sequence.size_bytes; ++i) {
    if (at + i >= text.size()) return {i, false};
    const auto byte = static_cast<unsigned char>(text[at + i]);
    const bool fits = i == 1 ? byte >= sequence.second_first && byte <= sequence.second_last
                             : byte >= 0x80 && byte <= 0xBF;
    if (!fits) return {i, false};
  }
  return {sequence.size_bytes, true};
}

}  // namespace

size_t first_invalid_utf8(std::string_view text, size_t at) {
  constexpr uint64_t kHighBits = 0x8080808080808080ULL;
  while (at < text.size()) {
    uint64_t word = kHighBits;
    if (at + sizeof(word) <= text.size()) std::memcpy(&word, text.data() + at, sizeof(word));
    if ((word & kHighBits) == 0) {
      at += sizeof(word);
      continue;
    }
    const Run run = run_at(text, at);
    if (!run.valid) return at;
    at += run.size_bytes;
  }
  return text.size();
}

size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

int64_t character_count(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not a continuation byte
  });
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto push = [&](char32_t bits) { text.push_back(static_cast<char>(bits)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | (code_point >> 6));
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | (code_point >> 12));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | (code_point >> 18));
    push(0x80 | ((code_point >> 12) & 0x3F));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

std::string_view valid_utf8(std::string_view text, std::string& storage) {
  size_t broken = first_invalid_utf8(text);
  if (broken == text.size()) return text;
  storage.clear();
  storage.reserve(text.size());
  size_t begin = 0;
  while (broken < text.size()) {
    storage.append(text, begin, broken - begin);
    storage.append(kReplacement);
    begin = broken + run_at(text, broken).size_bytes;
    broken = first_invalid_utf8(text, begin);
  }
  storage.append(text, begin);
  return storage;
}

bool is_white_space(char32_t code_point) {
  if (code_point < 0x80) return code_point == ' ' || (code_point >= 9 && code_point <= 13);
  return code_point == 0x85 || code_point == 0xA0 || code_point == 0x1680 ||
         (code_point >= 0x2000 && code_point <= 0x200A) || code_point == 0x2028 ||
         code_point == 0x2029 || code_point == 0x202F || code_point == 0x205F ||
         code_point == 0x3000;
}

bool is_numeric(char32_t code_point) {
  if (code_point < 0x80) return code_point >= '0' && code_point <= '9';
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

}  // namespace prune
