#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

struct re_pattern_buffer;
struct re_registers;
struct OnigMatchParamStruct;

namespace prune::tokenizer {

/// Bytes [begin, end) of a text.
struct Span {
  size_t begin;
  size_t end;
};

/// An Oniguruma regular expression with the syntax and encoding that the `tokenizers` package uses, so
/// that the patterns of tokenizer.json run verbatim. Not thread-safe: it keeps the match registers between
/// searches.
class Regex {
 public:
  /// @throws Error(input) with the pattern and the library's reason.
  explicit Regex(std::string_view pattern);

  /// The leftmost match that starts at or after `from`; `text` is valid UTF-8.
  /// @throws Error(input) if the search needs more than a few steps per byte, as with catastrophic
  ///         backtracking, or if the match starts before `from`, which \K in a lookbehind can cause.
  std::optional<Span> find(std::string_view text, size_t from) const;

 private:
  struct Free {
    void operator()(re_pattern_buffer* regex) const;
    void operator()(re_registers* region) const;
    void operator()(OnigMatchParamStruct* parameters) const;
  };
  std::unique_ptr<re_pattern_buffer, Free> regex_;
  std::unique_ptr<re_registers, Free> region_;
  std::unique_ptr<OnigMatchParamStruct, Free> parameters_;
};

/// Iterates over the matches of a pattern, from left to right, without overlap. Skips an empty match right
/// after another match, as the `onig` crate's iterator does.
class RegexMatches {
 public:
  RegexMatches(const Regex& regex, std::string_view text) : regex_(regex), text_(text) {}
  std::optional<Span> next();

 private:
  const Regex& regex_;
  std::string_view text_;
  size_t from_ = 0;
  std::optional<size_t> last_end_;
};

/// A pattern that matches exactly this text.
Regex literal_regex(std::string_view text);

}  // namespace prune::tokenizer
