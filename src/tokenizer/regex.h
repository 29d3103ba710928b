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

/// A regular expression of Oniguruma, with the syntax and encoding that the `tokenizers` package
/// gives it, so that the patterns of tokenizer.json run verbatim. Not for two threads at once: the
/// match registers are kept between searches.
class Regex {
 public:
  /// @throws Error(input) with the pattern and the library's reason.
  explicit Regex(std::string_view pattern);

  /// The leftmost match that starts at or after `from`; `text` is valid UTF-8.
  /// @throws Error(input) when a pattern needs more than a few steps for each byte, as one does that
  ///         tries all ways to cut a text, or finds a match that starts before `from` (\K can).
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

/// Matches of a pattern from left to right without overlap. An empty match right after another match
/// is passed over, as the `onig` crate's iterator does.
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
