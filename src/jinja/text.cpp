#include "text.h"

#include <fmt/format.h>
#include <prune/core/utf8.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace prune::jinja {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
bool is_letter(char32_t c) {
  return category(c) >= UTF8PROC_CATEGORY_LU && category(c) <= UTF8PROC_CATEGORY_LO;
}
bool is_cased(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL ||
         kind == UTF8PROC_CATEGORY_LT || utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0 ||
         utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0;
}
bool is_printable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

template <class Visit>
void for_each_character(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const Decoded decoded = decode_utf8(text, at);
    visit(decoded.code_point, at);
    at += decoded.size_bytes;
  }
}

enum class Case { kUpper, kLower, kTitle };

bool is_upper(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LU ||
         utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0;
}
bool is_lower(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LL ||
         utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0;
}

/// Appends one character in another case. utf8proc maps to one character where Python may give several; those are
/// what the full case folding expands to.
void append_cased(std::string& out, char32_t c, Case to) {
  constexpr char32_t kSharpS = 0xDF, kDottedI = 0x130, kIota = 0x3B9, kIotaBelow = 0x345,
                     kApostrophe = 0x2BC;
  const auto code = static_cast<utf8proc_int32_t>(c);
  if (to == Case::kLower) {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(code)));
    if (c == kDottedI) append_utf8(out, 0x307);
    return;
  }
  const utf8proc_int32_t mapped =
      to == Case::kUpper ? utf8proc_toupper(code) : utf8proc_totitle(code);
  std::array<utf8proc_int32_t, 8> folded{};
  int last = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(
      code, folded.data(), static_cast<utf8proc_ssize_t>(folded.size()), UTF8PROC_CASEFOLD, &last);
  const bool expands = count > 1 && count <= static_cast<utf8proc_ssize_t>(folded.size()) &&
                       !is_upper(c) &&
                       (to == Case::kUpper || c == kSharpS ||
                        (mapped == code && category(c) != UTF8PROC_CATEGORY_LT));
  if (!expands) {
    append_utf8(out, static_cast<char32_t>(mapped));
    return;
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    const utf8proc_int32_t part = folded[static_cast<size_t>(i)];
    // The letter to change may follow an apostrophe.
    if (to == Case::kUpper || i == 0 || static_cast<char32_t>(folded[0]) == kApostrophe) {
      append_utf8(out, static_cast<char32_t>(utf8proc_toupper(part)));
    } else {
      append_utf8(out,
                  static_cast<char32_t>(part) == kIota ? kIotaBelow : static_cast<char32_t>(part));
    }
  }
}

bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2018 || c == 0x2019;
  }
}

constexpr char32_t kSigma = 0x3A3;

/// Appends the lower case of the character at `at`: a sigma at the end of a word has a form of its own.
void append_lower(std::string& out, std::string_view text, char32_t c, size_t at) {
  if (c != kSigma) {
    append_cased(out, c, Case::kLower);
    return;
  }
  const auto cased_before = [&] {
    std::string_view before = text.substr(0, at);
    while (!before.empty()) {
      const size_t last = last_character(before);
      const char32_t other = decode_utf8(before, last).code_point;
      if (!is_case_ignorable(other)) return is_cased(other);
      before = before.substr(0, last);
    }
    return false;
  };
  const auto cased_after = [&] {
    for (size_t next = at + 2; next < text.size();) {
      const Decoded other = decode_utf8(text, next);
      if (!is_case_ignorable(other.code_point)) return is_cased(other.code_point);
      next += other.size_bytes;
    }
    return false;
  };
  append_utf8(out, cased_before() && !cased_after() ? 0x3C2 : 0x3C3);
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_digit_character(char32_t c) {
  // Superscripts and subscripts are digits in Python but not decimal.
  return category(c) == UTF8PROC_CATEGORY_ND || c == 0xB2 || c == 0xB3 || c == 0xB9 ||
         c == 0x2070 || (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
}

bool is_numeric_character(char32_t c) {
  static constexpr std::u32string_view kIdeographs =
      U"一二三四五六七八九十百千万億零壹貳參肆伍陸柒捌玖拾佰仟";
  return is_numeric(c) || is_digit_character(c) || kIdeographs.find(c) != kIdeographs.npos;
}

/// isupper and islower: no character of the other case, at least one of this.
bool all_cased(std::string_view text, bool upper) {
  bool any = false;
  bool none_else = true;
  for_each_character(text, [&](char32_t c, size_t) {
    if (upper ? is_upper(c) : is_lower(c)) {
      any = true;
    } else if ((upper ? is_lower(c) : is_upper(c)) || category(c) == UTF8PROC_CATEGORY_LT) {
      none_else = false;
    }
  });
  return any && none_else;
}

}  // namespace

bool is_space(char32_t c) { return (c >= 0x1C && c <= 0x1F) || is_white_space(c); }

size_t byte_offset(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += utf8_length(text[at]);
  return at;
}

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

std::string_view stripped(std::string_view text, const std::string_view* characters, Side side) {
  const auto goes = [&](size_t at) {
    const Decoded c = decode_utf8(text, at);
    return characters == nullptr
               ? is_space(c.code_point)
               : characters->find(text.substr(at, c.size_bytes)) != std::string_view::npos;
  };
  if (side != Side::kRight) {
    while (!text.empty() && goes(0)) text.remove_prefix(utf8_length(text[0]));
  }
  if (side != Side::kLeft) {
    while (!text.empty() && goes(last_character(text))) text = text.substr(0, last_character(text));
  }
  return text;
}

std::string upper_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, size_t) { append_cased(out, c, Case::kUpper); });
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, size_t at) { append_lower(out, text, c, at); });
  return out;
}

std::string title_case(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for_each_character(text, [&](char32_t c, size_t at) {
    if (after_cased) {
      append_lower(out, text, c, at);
    } else {
      append_cased(out, c, Case::kTitle);
    }
    after_cased = is_cased(c);
  });
  return out;
}

std::string capitalized(std::string_view text) {
  std::string out;
  for_each_character(text, [&](char32_t c, size_t at) {
    if (at == 0) {
      append_cased(out, c, Case::kTitle);
    } else {
      append_lower(out, text, c, at);
    }
  });
  return out;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t max_splits, bool from_right) {
  std::vector<std::string_view> parts;
  if (from_right) {
    while (max_splits != 0) {
      const size_t found = text.rfind(separator);
      if (found == std::string_view::npos) break;
      parts.push_back(text.substr(found + separator.size()));
      text = text.substr(0, found);
      --max_splits;
    }
    parts.push_back(text);
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t at = 0;
  while (max_splits != 0) {
    const size_t found = find_text(text, separator, at);
    if (found == std::string_view::npos) break;
    parts.push_back(text.substr(at, found - at));
    at = found + separator.size();
    --max_splits;
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::vector<std::string_view> split_white_space(std::string_view text, int64_t max_splits,
                                                bool from_right) {
  std::vector<std::string_view> parts;
  const auto is_space_at = [&](size_t at) { return is_space(decode_utf8(text, at).code_point); };
  for (;; --max_splits) {
    // What is left after the last split keeps the white space at its far end.
    text = stripped(text, nullptr, from_right ? Side::kRight : Side::kLeft);
    if (text.empty()) break;
    size_t cut = from_right ? text.size() : 0;
    if (max_splits == 0) {
      cut = text.size() - cut;
    } else if (from_right) {
      while (cut > 0 && !is_space_at(last_character(text.substr(0, cut)))) {
        cut = last_character(text.substr(0, cut));
      }
    } else {
      while (cut < text.size() && !is_space_at(cut)) cut += utf8_length(text[cut]);
    }
    parts.push_back(from_right ? text.substr(cut) : text.substr(0, cut));
    text = from_right ? text.substr(0, cut) : text.substr(cut);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = decode_utf8(text, at);
    size_t end = at + c.size_bytes;
    if (is_line_end(c.code_point)) {
      if (c.code_point == '\r' && end < text.size() && text[end] == '\n') ++end;
      lines.push_back(text.substr(start, (keep_ends ? end : at) - start));
      start = end;
    }
    at = end;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

int64_t count_text(std::string_view text, std::string_view part) {
  if (part.empty()) return character_count(text) + 1;
  int64_t count = 0;
  for (size_t at = 0; (at = find_text(text, part, at)) != std::string_view::npos;
       at += part.size()) {
    ++count;
  }
  return count;
}

int64_t replaced_bytes(std::string_view text, std::string_view old, std::string_view with,
                       int64_t count) {
  const int64_t found = count_text(text, old);
  const int64_t changes = count < 0 ? found : std::min(found, count);
  // In units of 64 bytes the product fits.
  return static_cast<int64_t>(text.size()) +
         changes * std::max<int64_t>(
                       0, static_cast<int64_t>(with.size()) - static_cast<int64_t>(old.size()));
}

std::string replaced(std::string_view text, std::string_view old, std::string_view with,
                     int64_t count) {
  std::string out;
  size_t at = 0;
  for (; count != 0; --count) {
    const size_t found = old.empty() ? at : find_text(text, old, at);
    if (found == std::string_view::npos || (old.empty() && at > text.size())) break;
    out += text.substr(at, found - at);
    out += with;
    at = found + old.size();
    if (old.empty()) {
      // Between characters, and at both ends.
      if (at == text.size()) return out;
      out += text.substr(at, utf8_length(text[at]));
      at += utf8_length(text[at]);
    }
  }
  out += text.substr(at);
  return out;
}

bool all_characters(std::string_view text, std::string_view predicate) {
  if (predicate == "upper" || predicate == "lower") return all_cased(text, predicate == "upper");
  bool holds = !text.empty();
  for_each_character(text, [&](char32_t c, size_t) {
    const bool numeric = is_numeric_character(c);
    holds = holds && (predicate == "alpha"     ? is_letter(c)
                      : predicate == "digit"   ? is_digit_character(c)
                      : predicate == "numeric" ? numeric
                      : predicate == "alnum"   ? is_letter(c) || numeric
                                               : is_space(c));
  });
  return holds;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    constexpr std::string_view kSpecial = "&<>'\"";
    constexpr std::array<std::string_view, 5> kEscapes = {"&amp;", "&lt;", "&gt;", "&#39;",
                                                          "&#34;"};
    const size_t found = kSpecial.find(c);
    if (found == std::string_view::npos) {
      out += c;
    } else {
      out += kEscapes[found];
    }
  }
  return out;
}

std::string python_quoted(std::string_view text) {
  const bool doubled =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubled ? '"' : '\'';
  std::string out(1, quote);
  for_each_character(text, [&](char32_t c, size_t at) {
    if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (is_printable(c)) {
      out += text.substr(at, utf8_length(text[at]));
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else {
      out += c < 0x10000 ? fmt::format("\\u{:04x}", static_cast<uint32_t>(c))
                         : fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
  });
  out += quote;
  return out;
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const double size = std::abs(value);
  // Python writes an exponent below 1e-4 and from 1e16 on.
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(std::begin(buffer), std::end(buffer), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string out(std::begin(buffer), end.ptr);
  if (plain && out.find('.') == std::string::npos) out += ".0";
  return out;
}

bool is_name_character(char32_t c, bool first) {
  if (c < 0x80) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
  }
  if (is_letter(c) || category(c) == UTF8PROC_CATEGORY_NL) return true;
  return !first && (category(c) == UTF8PROC_CATEGORY_MN || category(c) == UTF8PROC_CATEGORY_MC ||
                    category(c) == UTF8PROC_CATEGORY_ND || category(c) == UTF8PROC_CATEGORY_PC);
}

}  // namespace prune::jinja
