#include "json_scanner.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <algorithm>

namespace prune::calibration {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// The position behind the string that starts at `at`; npos if it does not end.
size_t end_of_string(std::string_view text, size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

size_t end_of_brackets(std::string_view text, size_t at) {
  int64_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
      continue;
    }
    ++at;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && --depth == 0) return at;
  }
  return std::string_view::npos;
}

size_t end_of_value(std::string_view text, size_t at) {
  if (at >= text.size()) return std::string_view::npos;
  if (text[at] == '"') return end_of_string(text, at);
  if (text[at] == '[' || text[at] == '{') return end_of_brackets(text, at);
  return std::min(text.find_first_of(" \t\r\n,:[]{}\"", at), text.size());
}

}  // namespace

char JsonScanner::next() {
  const size_t found = std::min(text_.find_first_not_of(kBlanks, at_), text_.size());
  const std::string_view blanks = text_.substr(at_, found - at_);
  line_ += std::ranges::count(blanks, '\n');
  at_ = found;
  return at_ < text_.size() ? text_[at_] : '\0';
}

std::string_view JsonScanner::value() {
  next();
  const size_t end = end_of_value(text_, at_);
  if (end == std::string_view::npos) {
    throw Error(ErrorKind::kInput,
                fmt::format("not valid JSON: what opens in line {} does not end", line_));
  }
  if (end == at_) {
    throw Error(ErrorKind::kInput,
                fmt::format("not valid JSON: '{}' in line {}", text_[at_], line_));
  }
  const std::string_view found = text_.substr(at_, end - at_);
  line_ += std::ranges::count(found, '\n');
  at_ = end;
  return found;
}

void JsonScanner::take(char expected) {
  const char found = next();
  if (found != expected) {
    throw Error(ErrorKind::kInput,
                fmt::format("not valid JSON: '{}' is missing in line {}", expected, line_));
  }
  ++at_;
}

bool JsonScanner::more(char close) {
  if (next() != ',') {
    take(close);
    return false;
  }
  take(',');
  return true;
}

void for_each_element(JsonScanner& scanner,
                      const std::function<void(std::string_view, int64_t)>& element) {
  scanner.take('[');
  if (scanner.next() == ']') {
    scanner.take(']');
    return;
  }
  do {
    scanner.next();
    const int64_t line = scanner.line();
    element(scanner.value(), line);
  } while (scanner.more(']'));
}

std::string_view raw_member(std::string_view object, std::string_view name) {
  JsonScanner scanner(object);
  std::string_view found;
  scanner.take('{');
  if (scanner.next() == '}') return found;
  do {
    const std::string_view key = scanner.value();
    scanner.take(':');
    const std::string_view value = scanner.value();
    if (key.size() == name.size() + 2 && key.substr(1, name.size()) == name) found = value;
  } while (scanner.more('}'));
  return found;
}

}  // namespace prune::calibration
