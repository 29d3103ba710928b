#include "lexer.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "text.h"

namespace prune::jinja {
namespace {

constexpr std::array<std::string_view, 25> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// One newline convention, and without the newline at the end.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    if (source[at] == '\r') {
      out += '\n';
      if (at + 1 < source.size() && source[at + 1] == '\n') ++at;
    } else {
      out += source[at];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(const std::string& name, std::string source) : name_(name), source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest(size_t from) const { return std::string_view(source_).substr(from); }
  bool at(std::string_view text) const { return rest(at_).starts_with(text); }
  [[noreturn]] void error(const std::string& message) const { throw_at(name_, line_, message); }

  void add(TokenType type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  /// Moves on and counts lines.
  void advance_to(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    line_starting_ = to > at_ && source_[to - 1] == '\n';
    at_ = to;
  }

  size_t after_space(size_t from) const {
    while (from < source_.size()) {
      const Decoded c = decode_utf8(source_, from);
      if (!is_space(c.code_point)) break;
      from += c.size_bytes;
    }
    return from;
  }

  /// The text between tags, and the start of the tag behind it.
  void data() {
    size_t tag = at_;
    while (tag < source_.size() &&
           !(source_[tag] == '{' && tag + 1 < source_.size() &&
             (source_[tag + 1] == '{' || source_[tag + 1] == '%' || source_[tag + 1] == '#'))) {
      ++tag;
    }
    if (tag == source_.size()) {
      add(TokenType::kData, std::string(rest(at_)));
      advance_to(tag);
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_data(rest(at_).substr(0, tag - at_), sign, kind != '{');
    const size_t body = tag + 2 + static_cast<size_t>(sign == '-' || sign == '+');
    if (kind == '%' && raw(body)) return;
    advance_to(body);
    if (kind == '#') {
      comment();
    } else {
      add(kind == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin, "");
      tag_content(kind == '{' ? '}' : '%');
    }
  }

  /// Data before a tag; `strips`: a block or comment, from whose line lstrip_blocks removes leading white space.
  void add_data(std::string_view text, char sign, bool strips) {
    if (sign == '-') {
      text = stripped(text, nullptr, Side::kRight);
    } else if (sign != '+' && strips) {
      const size_t newline = text.rfind('\n');
      const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((start > 0 || line_starting_) &&
          stripped(text.substr(start), nullptr, Side::kBoth).empty()) {
        text = text.substr(0, start);
      }
    }
    if (!text.empty()) add(TokenType::kData, std::string(text));
  }

  /// Where a block or comment ends that closes at `close` ("%}" or "#}"), white space after it included.
  size_t after_close(size_t close, char sign) const {
    const size_t end = close + 2;
    if (sign == '-') return after_space(end);
    return end + static_cast<size_t>(sign != '+' && end < source_.size() && source_[end] == '\n');
  }

  void comment() {
    if (at_ == source_.size()) return;  // jinja2 does not notice that this comment is not closed
    const size_t close = source_.find("#}", at_);
    if (close == std::string::npos) error("Missing end of comment tag");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    advance_to(after_close(close, sign));
  }

  /// `{% raw %} ... {% endraw %}`. @param at behind "{%" and its sign
  bool raw(size_t body) {
    const size_t word = after_space(body);
    if (!rest(word).starts_with("raw")) return false;
    size_t end = after_space(word + 3);
    const bool strip = rest(end).starts_with("-%}");
    if (!strip && !rest(end).starts_with("%}")) return false;
    end += strip ? 3 : 2;
    advance_to(strip ? after_space(end) : end);
    if (at_ == source_.size()) return true;
    for (size_t tag = at_; (tag = source_.find("{%", tag)) != std::string::npos; tag += 2) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      size_t close = after_space(tag + 2 + static_cast<size_t>(sign == '-' || sign == '+'));
      if (!rest(close).starts_with("endraw")) continue;
      close = after_space(close + 6);
      const char end_sign = close < source_.size() ? source_[close] : '\0';
      if (end_sign == '-' || end_sign == '+') ++close;
      if (!rest(close).starts_with("%}")) continue;
      add_data(rest(at_).substr(0, tag - at_), sign, true);
      advance_to(after_close(close, end_sign));
      return true;
    }
    error("Missing end of raw directive");
  }

  /// Tokens up to "}}" or "%}". @param close  its first character
  void tag_content(char close) {
    std::string open_brackets;
    while (at_ < source_.size()) {
      if (open_brackets.empty() && tag_end(close)) return;
      const size_t next = after_space(at_);
      if (next > at_) {
        advance_to(next);
      } else if (!number() && !name() && !string()) {
        symbol(open_brackets);
      }
    }
  }

  bool tag_end(char close) {
    const std::string end{close, '}'};
    const size_t sign = source_[at_] == '-' || (close == '%' && source_[at_] == '+') ? 1 : 0;
    if (!rest(at_ + sign).starts_with(end)) return false;
    add(close == '}' ? TokenType::kVariableEnd : TokenType::kBlockEnd, "");
    if (close == '}') {
      advance_to(sign == 1 ? after_space(at_ + 3) : at_ + 2);
    } else {
      advance_to(after_close(at_ + sign, sign == 1 ? source_[at_] : '\0'));
    }
    return true;
  }

  size_t digits(size_t from) const {
    while (from < source_.size() && is_digit(source_[from])) ++from;
    return from;
  }

  bool number() {
    if (!is_digit(source_[at_])) return false;
    const size_t whole = digits(at_);
    size_t end = whole;
    // In "xs.0.1" the 0 is an integer.
    if (at_ == 0 || source_[at_ - 1] != '.') {
      if (rest(end).starts_with('.') && digits(end + 1) > end + 1) end = digits(end + 1);
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        const char sign = end + 1 < source_.size() ? source_[end + 1] : '\0';
        const size_t start = end + 1 + static_cast<size_t>(sign == '+' || sign == '-');
        if (digits(start) > start) end = digits(start);
      }
    }
    const std::string text(rest(at_).substr(0, end - at_));
    add(end == whole ? TokenType::kInteger : TokenType::kFloat, text);
    tokens_.back().number = std::strtod(text.c_str(), nullptr);
    const char* const last = text.data() + text.size();
    const bool fits = std::from_chars(text.data(), last, tokens_.back().integer).ec == std::errc();
    if (end == whole && !fits)
      error(fmt::format("the integer {} exceeds 64 bits", printable(text)));
    if (end == whole && text.size() > 1 && text.find_first_not_of('0') != std::string::npos &&
        text.starts_with('0')) {
      error(fmt::format("the integer {} starts with a zero", printable(text)));
    }
    advance_to(end);
    return true;
  }

  bool name() {
    size_t end = at_;
    while (end < source_.size()) {
      const Decoded c = decode_utf8(source_, end);
      if (!is_name_character(c.code_point, end == at_)) break;
      end += c.size_bytes;
    }
    if (end == at_) return false;
    add(TokenType::kName, std::string(rest(at_).substr(0, end - at_)));
    advance_to(end);
    return true;
  }

  bool string() {
    const char quote = source_[at_];
    if (quote != '"' && quote != '\'') return false;
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return false;
    add(TokenType::kString, unescaped(rest(at_ + 1).substr(0, end - at_ - 1)));
    advance_to(end + 1);
    return true;
  }

  /// Python's unicode-escape. Unknown escapes stay as they are.
  std::string unescaped(std::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      static constexpr std::string_view kLetters = "abfnrtv\\'\"";
      static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t found = kLetters.find(c); found != std::string_view::npos) {
        out += kMeanings[found];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        append_escape(out, text.substr(i + 1, length), length);
        i += length;
      } else if ((c >= '0' && c <= '7') || c == 'N' || (c & 0x80) != 0) {
        error(
            "octal escapes, \\N and escaped characters beyond ASCII are not supported in strings");
      } else if (c != '\n') {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  void append_escape(std::string& out, std::string_view code, size_t length) const {
    uint32_t value = 0;
    const auto parsed = std::from_chars(code.data(), code.data() + code.size(), value, 16);
    if (code.size() != length || parsed.ptr != code.data() + code.size() || value > 0x10FFFF) {
      error("truncated or illegal escape in a string");
    }
    // Half a surrogate pair cannot be encoded.
    append_utf8(out, value >= 0xD800 && value < 0xE000 ? 0xFFFD : value);
  }

  void symbol(std::string& open_brackets) {
    const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                    [&](std::string_view symbol) { return at(symbol); });
    if (found == kOperators.end()) {
      const size_t size = utf8_length(source_[at_]);
      error(fmt::format("unexpected character '{}'", printable(rest(at_).substr(0, size))));
    }
    const char c = found->front();
    if (c == '(') open_brackets += ')';
    if (c == '[') open_brackets += ']';
    if (c == '{') open_brackets += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open_brackets.empty()) error(fmt::format("unexpected '{}'", c));
      if (open_brackets.back() != c) {
        error(fmt::format("unexpected '{}', expected '{}'", c, open_brackets.back()));
      }
      open_brackets.pop_back();
    }
    add(TokenType::kOperator, std::string(*found));
    advance_to(at_ + found->size());
  }

  const std::string& name_;
  const std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  ///< the last match ended with a newline
};

}  // namespace

void throw_at(const std::string& name, int line, const std::string& message) {
  throw Error(ErrorKind::kInput, fmt::format("{}:{}: {}", name, line, message));
}

std::vector<Token> tokenize(const std::string& name, std::string_view source) {
  const size_t invalid = first_invalid_utf8(source);
  if (invalid < source.size()) {
    const auto line =
        1 + std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(invalid), '\n');
    throw_at(name, static_cast<int>(line), "the template is not UTF-8");
  }
  return Lexer(name, normalized(source)).run();
}

}  // namespace prune::jinja
