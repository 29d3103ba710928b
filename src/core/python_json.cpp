#include "python_json.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace prune {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Constant {
  std::string_view name;
  std::string_view
      quoted;  ///< the JSON string that replaces it; U+0001 starts no text that people write
  double value;
};

constexpr std::array<Constant, 3> kConstants = {{
    {"NaN", "\"\\u0001NaN\"", std::numeric_limits<double>::quiet_NaN()},
    {"Infinity", "\"\\u0001Infinity\"", kInfinity},
    {"-Infinity", "\"\\u0001-Infinity\"", -kInfinity},
}};

/// The code unit of an escape "\uXXXX" at `at`; nullopt if there is none.
std::optional<uint32_t> escaped_unit(std::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return std::nullopt;
  uint32_t unit = 0;
  for (size_t i = at + 2; i < at + 6; ++i) {
    const auto digit = static_cast<unsigned char>(text[i]);
    if (std::isxdigit(digit) == 0) return std::nullopt;
    unit = unit * 16 + static_cast<uint32_t>(
                           std::isdigit(digit) != 0 ? digit - '0' : std::tolower(digit) - 'a' + 10);
  }
  return unit;
}

bool is_high(uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low(uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

/// Copies one escape and returns the position after it.
size_t copy_escape(std::string_view text, size_t at, std::string& out) {
  const std::optional<uint32_t> unit = escaped_unit(text, at);
  size_t length = unit ? 6 : 2;
  if (unit && is_high(*unit)) {
    const std::optional<uint32_t> next = escaped_unit(text, at + 6);
    if (next && is_low(*next)) length = 12;
  }
  const bool half = unit && length == 6 && (is_high(*unit) || is_low(*unit));
  out += half ? "\\ufffd" : text.substr(at, length);
  return at + length;
}

size_t copy_string(std::string_view text, size_t at, std::string& out) {
  out += text[at++];
  while (at < text.size() && text[at] != '"') {
    if (text[at] == '\\') {
      at = copy_escape(text, at, out);
    } else {
      out += text[at++];
    }
  }
  if (at < text.size()) out += text[at++];
  return at;
}

bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.';
}

/// Numbers and constants.
size_t copy_word(std::string_view text, size_t at, std::string& out) {
  size_t end = at;
  while (end < text.size() && is_of_word(text[end])) ++end;
  std::string word(text.substr(at, end - at));
  const bool number = std::isdigit(static_cast<unsigned char>(word.back())) != 0;
  const double value = number ? std::strtod(word.c_str(), nullptr) : 0.0;
  if (std::isinf(value)) word = value > 0 ? "Infinity" : "-Infinity";
  for (const Constant& constant : kConstants) {
    if (word == constant.name) word = constant.quoted;
  }
  out += word;
  return end;
}

}  // namespace

std::string without_python_extensions(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      at = copy_string(text, at, out);
    } else if (is_of_word(text[at])) {
      at = copy_word(text, at, out);
    } else {
      out += text[at++];
    }
  }
  return out;
}

std::optional<double> number_behind(std::string_view value) {
  if (!value.starts_with('\x01')) return std::nullopt;
  for (const Constant& constant : kConstants) {
    if (value.substr(1) == constant.name) return constant.value;
  }
  return std::nullopt;
}

std::string with_python_numbers(std::string text) {
  for (const Constant& constant : kConstants) {
    for (size_t at = 0; (at = text.find(constant.quoted, at)) != std::string::npos;) {
      text.replace(at, constant.quoted.size(), constant.name);
    }
  }
  return text;
}

}  // namespace prune
