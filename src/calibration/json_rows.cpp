#include "json_rows.h"

#include <fmt/format.h>
#include <prune/calibration/text_description.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "json_scanner.h"
#include "row_field.h"

namespace prune::calibration {
namespace {

constexpr std::array<const char*, 2> kRowLists = {"data", "rows"};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

std::vector<RowKey> keys_of(const json& row) {
  std::vector<RowKey> keys;
  for (const auto& [name, value] : row.items()) keys.push_back({name, value.is_string()});
  return keys;
}

/// The first part of a dotted name and the rest; the rest is empty if there is no dot.
std::pair<std::string, std::string> split_name(const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return {name, ""};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

/// The value under a key, or under "a.b" in the object under "a"; null pointer if there is none.
const json* value_at(const json& row, const std::string& field) {
  if (!row.is_object()) return nullptr;
  if (const auto found = row.find(field); found != row.end()) return &*found;
  const auto [first, rest] = split_name(field);
  const auto found = row.find(first);
  return rest.empty() || found == row.end() ? nullptr : value_at(*found, rest);
}

std::string_view raw_value_at(std::string_view row, const std::string& field) {
  const std::string_view found = raw_member(row, field);
  const auto [first, rest] = split_name(field);
  if (!found.empty() || rest.empty()) return found;
  const std::string_view inner = raw_member(row, first);
  return inner.starts_with('{') ? raw_value_at(inner, rest) : std::string_view();
}

/// True if a JSON string has an escape "\uD8xx" that the other half of a pair does not follow, or a half alone.
bool has_half_a_pair(std::string_view raw) {
  const auto unit_at = [&](size_t at) -> unsigned {
    if (raw.substr(std::min(at, raw.size()), 2) != "\\u") return 0;
    return static_cast<unsigned>(
        std::strtoul(std::string(raw.substr(at + 2, 4)).c_str(), nullptr, 16));
  };
  for (size_t at = 0; at < raw.size(); at += raw[at] == '\\' ? 2 : 1) {
    const unsigned unit = unit_at(at);
    if (unit < 0xD800 || unit >= 0xE000) continue;
    const unsigned next = unit_at(at + 6);
    if (unit >= 0xDC00 || next < 0xDC00 || next >= 0xE000) return true;
    at += 11;  // the loop adds the last digit of the pair
  }
  return false;
}

class RowReader {
 public:
  RowReader(std::string file, const std::optional<std::string>& field, TextDescription& about)
      : file_(std::move(file)), asked_(field), about_(about) {}

  void add(std::string_view raw, int64_t line) {
    try {
      add(raw);
    } catch (Error& error) {
      throw error.in(fmt::format("{}:{}", file_, line));
    }
  }
  std::vector<std::string> take() { return std::move(texts_); }

 private:
  void add(std::string_view raw) {
    json row = parse_json(raw);
    if (row.is_null()) {
      ++about_.null_rows;
    } else if (row.is_string() && !asked_) {
      push(raw, row.get_ref<std::string&>());
    } else if (row.is_object()) {
      add_object(raw, row);
    } else {
      throw Error(ErrorKind::kInput,
                  fmt::format("the row is a JSON {}; {} is expected", row.type_name(),
                              asked_ ? fmt::format("an object with '{}'", *asked_)
                                     : "an object with \"text\", or a string"));
    }
  }

  void add_object(std::string_view raw, json& row) {
    if (about_.field.empty()) about_.field = choose_field(asked_, keys_of(row), about_.guesses);
    const json* const value = value_at(row, about_.field);
    if (value == nullptr) throw missing_field(about_.field, keys_of(row));
    if (value->is_null()) {
      ++about_.null_rows;
      return;
    }
    if (!value->is_string()) {
      throw_json_error(about_.field.c_str(),
                       "has the wrong type: " + json_text(*value, -1).substr(0, 60));
    }
    push(raw_value_at(raw, about_.field), value->get_ref<const std::string&>());
  }

  // parse_json() reads half a surrogate pair as U+FFFD, as it must where the text does not matter.
  void push(std::string_view raw, const std::string& text) {
    if (text.find("\xEF\xBF\xBD") != std::string::npos && has_half_a_pair(raw)) {
      throw Error(ErrorKind::kInput,
                  "the text has half a surrogate pair (\\ud800 to \\udfff), which is not a "
                  "character; correct or remove the row");
    }
    texts_.push_back(text);
  }

  std::string file_;
  const std::optional<std::string>& asked_;
  TextDescription& about_;
  std::vector<std::string> texts_;
};

/// The array of rows within a JSON object; empty if it has none or if it is a row itself.
std::string_view row_list_of(std::string_view object, const std::optional<std::string>& field) {
  if (!object.starts_with('{')) return {};
  for (const char* text_key : {"text", "content"}) {
    if (!raw_member(object, field ? *field : text_key).empty()) return {};
  }
  for (const char* list : kRowLists) {
    const std::string_view rows = raw_member(object, list);
    if (rows.starts_with('[')) return rows;
  }
  return {};
}

struct RawRow {
  std::string_view text;
  int64_t line;
};

/// The rows of text in which they need not end with their line.
std::vector<RawRow> rows_of_document(std::string_view text, int64_t first_line,
                                     const std::optional<std::string>& field) {
  std::vector<RawRow> rows;
  JsonScanner scanner(text, first_line);
  while (scanner.next() != '\0') {
    const int64_t line = scanner.line();
    rows.push_back({scanner.value(), line});
  }
  if (rows.size() != 1) return rows;
  const auto [value, line] = rows.front();
  const std::string_view list = value.starts_with('[') ? value : row_list_of(value, field);
  if (list.empty()) return rows;
  const std::string_view before = value.substr(0, static_cast<size_t>(list.data() - value.data()));
  JsonScanner elements(list, line + std::ranges::count(before, '\n'));
  rows.clear();
  for_each_element(elements, [&](std::string_view row, int64_t at) { rows.push_back({row, at}); });
  return rows;
}

/// True if the line is more than a row: the start of a value of several lines, or an object with rows.
bool needs_document(std::string_view line, const std::optional<std::string>& field) {
  try {
    JsonScanner scanner(line);
    const std::string_view value = scanner.value();
    return scanner.next() == '\0' && !row_list_of(value, field).empty();
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

std::vector<std::string> read_json_rows(TextReader& reader, JsonForm form,
                                        const std::optional<std::string>& field,
                                        TextDescription& about) {
  RowReader rows(reader.name(), field, about);
  const auto read_rest = [&](const std::string& start, int64_t first_line) {
    const std::string text = start + reader.read_all();
    std::vector<RawRow> found;
    try {
      found = rows_of_document(text, first_line, field);
    } catch (Error& error) {
      throw error.in(reader.name());
    }
    for (const RawRow& row : found) rows.add(row.text, row.line);
  };
  if (reader.next_character() == '[') {
    read_rest("", 1);
    return rows.take();
  }
  std::string line;
  for (bool first = true; reader.read_line(line);) {
    if (is_blank(line)) {
      ++about.blank_lines;
      continue;
    }
    if (first && form == JsonForm::kAny && needs_document(line, field)) {
      read_rest(line + "\n", reader.line());
      break;
    }
    first = false;
    rows.add(line, reader.line());
  }
  return rows.take();
}

}  // namespace prune::calibration
