#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace prune::calibration {

/// Cuts JSON text into values without building them, so that each row of a large array can be parsed alone. It
/// checks only what it needs to find a value's end; parse_json() checks the value.
class JsonScanner {
 public:
  /// @param first_line  number of the text's first line
  explicit JsonScanner(std::string_view text, int64_t first_line = 1)
      : text_(text), line_(first_line) {}

  /// The next character that is not blank; '\0' at the end.
  char next();
  /// Line of the position reached.
  int64_t line() const { return line_; }
  /// The text of the next value. @throws Error(input) if there is none or it does not end.
  std::string_view value();
  /// Consumes the next character. @throws Error(input) if it is another one.
  void take(char expected);
  /// Consumes a comma and returns true, or consumes `close` and returns false.
  bool more(char close);

 private:
  std::string_view text_;
  size_t at_ = 0;
  int64_t line_;
};

/// Calls `element` with the text and line of each element of an array.
void for_each_element(JsonScanner& scanner,
                      const std::function<void(std::string_view value, int64_t line)>& element);

/// The text of an object's member; empty if it has none of this name. Of several, the last.
/// @param name  without escapes
std::string_view raw_member(std::string_view object, std::string_view name);

}  // namespace prune::calibration
