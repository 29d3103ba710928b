#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace prune {

/// One character of valid UTF-8.
struct Decoded {
  char32_t code_point;
  size_t size_bytes;
};

/// Length of the character that starts with this byte, in valid UTF-8.
inline size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  if (byte < 0x80) return 1;
  if (byte < 0xE0) return 2;
  return byte < 0xF0 ? 3 : 4;
}

/// The character at byte `at` of valid UTF-8.
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

/// Start of the last character of valid, non-empty UTF-8.
size_t last_character(std::string_view text);

/// Number of characters of valid UTF-8.
int64_t character_count(std::string_view text);

void append_utf8(std::string& text, char32_t code_point);

/// `text` itself when it is valid UTF-8; else `storage`, filled with the text in which each maximal
/// part of a broken sequence became one U+FFFD, as Python's errors="replace" does.
std::string_view valid_utf8(std::string_view text, std::string& storage);

/// Unicode's White_Space: Rust's char::is_whitespace and the regular expression \s.
bool is_white_space(char32_t code_point);

/// General category Nd, Nl or No: Rust's char::is_numeric.
bool is_numeric(char32_t code_point);

}  // namespace prune
