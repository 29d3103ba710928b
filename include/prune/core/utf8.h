#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace prune {

/// A code point and the length of its UTF-8 encoding.
struct Decoded {
  char32_t code_point;
  size_t size_bytes;
};

/// Bytes of the character that starts with `first`, in valid UTF-8.
inline size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  if (byte < 0x80) return 1;
  if (byte < 0xE0) return 2;
  return byte < 0xF0 ? 3 : 4;
}

/// Decodes the character at byte `at` of valid UTF-8.
inline Decoded decode_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const auto tail = [&](size_t i) { return static_cast<char32_t>(byte(i) & 0x3F); };
  switch (utf8_length(text[at])) {
    case 1:
      return {byte(0), 1};
    case 2:
      return {(static_cast<char32_t>(byte(0) & 0x1F) << 6) | tail(1), 2};
    case 3:
      return {(static_cast<char32_t>(byte(0) & 0x0F) << 12) | (tail(1) << 6) | tail(2), 3};
    default:
      return {(static_cast<char32_t>(byte(0) & 0x07) << 18) | (tail(1) << 12) | (tail(2) << 6) |
                  tail(3),
              4};
  }
}

/// Byte offset of the last character of valid, non-empty UTF-8.
size_t last_character(std::string_view text);

/// Number of characters of valid UTF-8.
int64_t character_count(std::string_view text);

/// Appends the UTF-8 encoding of a code point.
void append_utf8(std::string& text, char32_t code_point);

/// Offset of the first byte at or after `at` that is not part of valid UTF-8; text.size() if there is none.
size_t first_invalid_utf8(std::string_view text, size_t at = 0);

/// Returns `text` itself if it is valid UTF-8. Otherwise fills `storage` with a repaired copy and returns
/// that: one U+FFFD for each maximal part of a broken sequence, as Python's errors="replace" does.
std::string_view valid_utf8(std::string_view text, std::string& storage);

/// Unicode property White_Space: Rust's char::is_whitespace and \s in regular expressions.
bool is_white_space(char32_t code_point);

/// Unicode category Nd, Nl or No: Rust's char::is_numeric.
bool is_numeric(char32_t code_point);

}  // namespace prune
