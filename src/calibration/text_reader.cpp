#include "text_reader.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace prune::calibration {
namespace {

using namespace std::string_view_literals;

struct Encoding {
  const char* name;
  std::string_view mark;  ///< the byte order mark
  size_t unit_bytes;
  bool little_endian;
};

// UTF-32LE's mark starts with UTF-16LE's.
constexpr std::array<Encoding, 5> kEncodings = {{{"UTF-8 with BOM", "\xEF\xBB\xBF"sv, 1, false},
                                                 {"UTF-32LE", "\xFF\xFE\0\0"sv, 4, true},
                                                 {"UTF-32BE", "\0\0\xFE\xFF"sv, 4, false},
                                                 {"UTF-16LE", "\xFF\xFE"sv, 2, true},
                                                 {"UTF-16BE", "\xFE\xFF"sv, 2, false}}};

bool is_high_surrogate(char32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(char32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

/// Reads UTF-16 or UTF-32 character by character.
class Converter {
 public:
  Converter(std::string_view bytes, const Encoding& encoding)
      : bytes_(bytes), encoding_(encoding) {}

  std::string convert() {
    std::string text;
    text.reserve(bytes_.size());
    while (at_ < bytes_.size()) {
      const char32_t character = next();
      if (character == U'\n') ++line_;
      append_utf8(text, character);
    }
    return text;
  }

 private:
  Error broken(size_t at, const std::string& reason) const {
    return {ErrorKind::kInput, fmt::format("line {}, byte {}: {} in {}", line_,
                                           at + encoding_.mark.size(), reason, encoding_.name)};
  }

  char32_t unit() {
    if (at_ + encoding_.unit_bytes > bytes_.size()) throw broken(at_, "an incomplete character");
    char32_t value = 0;
    for (size_t i = 0; i < encoding_.unit_bytes; ++i) {
      const size_t place = encoding_.little_endian ? encoding_.unit_bytes - 1 - i : i;
      value = (value << 8U) | static_cast<unsigned char>(bytes_[at_ + place]);
    }
    at_ += encoding_.unit_bytes;
    return value;
  }

  char32_t next() {
    const size_t start = at_;
    const char32_t first = unit();
    if (encoding_.unit_bytes == 2 && is_high_surrogate(first) && at_ < bytes_.size()) {
      const char32_t second = unit();
      if (is_low_surrogate(second)) return 0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00);
      throw broken(start, "half a surrogate pair");
    }
    if (is_high_surrogate(first) || is_low_surrogate(first)) {
      throw broken(start, "half a surrogate pair");
    }
    if (first > 0x10FFFF) throw broken(start, "a number beyond Unicode");
    return first;
  }

  std::string_view bytes_;
  const Encoding& encoding_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

TextReader::TextReader(const std::filesystem::path& path, std::string name)
    : name_(std::move(name)), stream_(path) {
  for (const Encoding& encoding : kEncodings) {
    if (!stream_.peek(4).starts_with(encoding.mark)) continue;
    stream_.skip(encoding.mark.size());
    offset_ = static_cast<int64_t>(encoding.mark.size());
    encoding_ = encoding.name;
    if (encoding.unit_bytes == 1) return;
    try {
      stream_.put_back(Converter(stream_.read_all(), encoding).convert());
    } catch (Error& error) {
      throw error.in(name_);
    }
    return;
  }
  // Letters of UTF-16 and UTF-32 are half zeros, which UTF-8 allows but no text has.
  if (stream_.peek(2).find('\0') != std::string_view::npos) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}:1: one of its first two bytes is zero; UTF-16 and UTF-32 "
                            "need a byte order mark, or convert the file, for instance with: iconv "
                            "-f utf-16le -t utf-8",
                            name_));
  }
}

char TextReader::next_character() {
  for (size_t count = 64;; count *= 2) {
    const std::string_view start = stream_.peek(count);
    const size_t found = start.find_first_not_of(" \t\r\n");
    if (found != std::string_view::npos) return start[found];
    if (start.size() < count) return '\0';
  }
}

void TextReader::check(const std::string& text, int64_t first_line) const {
  const size_t broken = first_invalid_utf8(text);
  if (broken == text.size()) return;
  const int64_t line =
      first_line + std::count(text.begin(), text.begin() + static_cast<int64_t>(broken), '\n');
  throw Error(ErrorKind::kInput,
              fmt::format("{}:{}: byte 0x{:02X} at offset {} is not UTF-8; convert the file, for "
                          "instance with: iconv -f latin1 -t utf-8",
                          name_, line, static_cast<unsigned char>(text[broken]),
                          offset_ + static_cast<int64_t>(broken)));
}

std::string TextReader::read_all() {
  std::string text = stream_.read_all();
  check(text, line_ + 1);
  offset_ += static_cast<int64_t>(text.size());
  return text;
}

bool TextReader::read_line(std::string& line) {
  if (!stream_.read_line(line)) return false;
  ++line_;
  check(line, line_);
  offset_ += static_cast<int64_t>(line.size()) + 1;
  return true;
}

}  // namespace prune::calibration
