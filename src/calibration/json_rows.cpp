#include "json_rows.h"

#include <fmt/format.h>
#include <prune/calibration/text_source.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "json_scanner.h"
#include "row_collector.h"

namespace prune::calibration {
namespace {

constexpr std::array<const char*, 2> kRowLists = {"data", "rows"};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

std::vector<RowKey> keys_of(const json& row) {
  std::vector<RowKey> keys;
  for (const auto& [name, value] : row.items()) {
    keys.push_back({name, value.is_string(), value.is_array()});
  }
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

/// parse_json() reads half a surrogate pair as U+FFFD, as it must where the text does not matter.
void check_pairs(std::string_view raw, const std::string& text) {
  if (text.find("\xEF\xBF\xBD") == std::string::npos || !has_half_a_pair(raw)) return;
  throw Error(ErrorKind::kInput,
              "the text has half a surrogate pair (\\ud800 to \\udfff), which is not a "
              "character; correct or remove the row");
}

void add_conversation(std::string_view raw, RowCollector& rows, TextSource& source) {
  const size_t before = source.documents.size();
  rows.add_conversation(parse_ordered_json(raw));
  if (source.documents.size() > before) check_pairs(raw, source.documents.back());
}

void add_object(std::string_view raw, const json& row, RowCollector& rows) {
  const json* const value = value_at(row, rows.field());
  if (value == nullptr) throw missing_field(rows.field(), keys_of(row));
  if (value->is_null()) {
    rows.add_null();
    return;
  }
  if (!value->is_string()) {
    throw_json_error(rows.field().c_str(),
                     "has the wrong type: " + json_text(*value, -1).substr(0, 60));
  }
  const auto& text = value->get_ref<const std::string&>();
  check_pairs(raw_value_at(raw, rows.field()), text);
  rows.add_text(text);
}

void add_row(std::string_view raw, RowCollector& rows, TextSource& source) {
  if (rows.takes_conversations()) {
    add_conversation(raw, rows, source);
    return;
  }
  const json row = parse_json(raw);
  if (row.is_null()) {
    rows.add_null();
  } else if (row.is_string() && !rows.asked()) {
    const auto& text = row.get_ref<const std::string&>();
    check_pairs(raw, text);
    rows.add_text(text);
  } else if (row.is_object()) {
    if (!rows.decided()) rows.decide(keys_of(row));
    if (rows.takes_conversations()) {
      add_conversation(raw, rows, source);
    } else {
      add_object(raw, row, rows);
    }
  } else {
    throw Error(ErrorKind::kInput,
                fmt::format("the row is a JSON {}; {} is expected", row.type_name(),
                            rows.asked() ? fmt::format("an object with '{}'", *rows.asked())
                                         : "an object with \"text\", or a string"));
  }
}

/// The array of rows within a JSON object; empty if it has none or if it is a row itself.
std::string_view row_list_of(std::string_view object, const std::string& text_key) {
  if (!object.starts_with('{')) return {};
  for (const char* usual : {"text", "content"}) {
    if (!raw_member(object, text_key.empty() ? usual : text_key).empty()) return {};
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
                                     const std::string& text_key) {
  std::vector<RawRow> rows;
  JsonScanner scanner(text, first_line);
  while (scanner.next() != '\0') {
    const int64_t line = scanner.line();
    rows.push_back({scanner.value(), line});
  }
  if (rows.size() != 1) return rows;
  const auto [value, line] = rows.front();
  const std::string_view list = value.starts_with('[') ? value : row_list_of(value, text_key);
  if (list.empty()) return rows;
  const std::string_view before = value.substr(0, static_cast<size_t>(list.data() - value.data()));
  JsonScanner elements(list, line + std::ranges::count(before, '\n'));
  rows.clear();
  for_each_element(elements, [&](std::string_view row, int64_t at) { rows.push_back({row, at}); });
  return rows;
}

/// True if the line is more than a row: the start of a value of several lines, or an object with rows.
bool needs_document(std::string_view line, const std::string& text_key) {
  try {
    JsonScanner scanner(line);
    const std::string_view value = scanner.value();
    return scanner.next() == '\0' && !row_list_of(value, text_key).empty();
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

int64_t for_each_json_row(TextReader& reader, JsonForm form, const std::string& text_key,
                          const std::function<void(std::string_view)>& row) {
  int64_t blank_lines = 0;
  const auto add = [&](std::string_view raw, int64_t line) {
    try {
      row(raw);
    } catch (Error& error) {
      throw error.in(fmt::format("{}:{}", reader.name(), line));
    }
  };
  const auto read_rest = [&](const std::string& start, int64_t first_line) {
    const std::string text = start + reader.read_all();
    std::vector<RawRow> found;
    try {
      found = rows_of_document(text, first_line, text_key);
    } catch (Error& error) {
      throw error.in(reader.name());
    }
    for (const RawRow& raw : found) add(raw.text, raw.line);
  };
  if (reader.next_character() == '[') {
    read_rest("", 1);
    return blank_lines;
  }
  std::string line;
  for (bool first = true; reader.read_line(line);) {
    if (is_blank(line)) {
      ++blank_lines;
      continue;
    }
    if (first && form == JsonForm::kAny && needs_document(line, text_key)) {
      read_rest(line + "\n", reader.line());
      break;
    }
    first = false;
    add(line, reader.line());
  }
  return blank_lines;
}

void read_json_rows(TextReader& reader, JsonForm form, const std::optional<std::string>& field,
                    const chat::TemplateChoice& templates, TextSource& source) {
  RowCollector rows(field, templates, source);
  source.about.blank_lines = for_each_json_row(
      reader, form, field.value_or(""), [&](std::string_view raw) { add_row(raw, rows, source); });
}

}  // namespace prune::calibration
