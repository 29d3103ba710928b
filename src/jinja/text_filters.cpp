#include <prune/core/utf8.h>

#include <algorithm>
#include <array>

#include "builtins.h"
#include "machine.h"
#include "operators.h"
#include "print.h"
#include "text.h"

namespace prune::jinja {
namespace {

Value text_of(Machine& machine, const Value& value) {
  return value.is(Kind::kString) ? value : machine.text(str(machine, value));
}

/// A filter that is a method of str.
template <const char* name>
Value by_method(Machine& machine, const Value& value, Arguments& arguments) {
  return machine.call(method_of(machine, text_of(machine, value), name), std::move(arguments));
}
constexpr char kUpper[] = "upper", kLower[] = "lower", kCapitalize[] = "capitalize";

Value trim(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("trim", {"chars"}, 0, arguments);
  return machine.call(method_of(machine, text_of(machine, value), "strip"),
                      {{bound.value_or(0, Value::none())}, {}});
}

Value title(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("title", {}, 0, arguments);
  const Value self = text_of(machine, value);
  const std::string_view text = self.text();
  machine.visit(4 * text.size());
  const auto separates = [&](size_t at) {
    return std::string_view("-({[<").find(text[at]) != std::string_view::npos ||
           is_space(decode_utf8(text, at).code_point);
  };
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && separates(end) == separates(at)) end += utf8_length(text[end]);
    const size_t first = utf8_length(text[at]);
    out += upper_case(text.substr(at, first));
    out += lower_case(text.substr(at + first, end - at - first));
    at = end;
  }
  return machine.text(std::move(out));
}

Value replace(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("replace", {"old", "new", "count"}, 2, arguments);
  const std::string text = str(machine, value);
  const std::string old = str(machine, bound[0]);
  const std::string with = str(machine, bound[1]);
  const bool all = !bound.has(2) || bound[2].is(Kind::kNone);
  const int64_t count = all ? -1 : bound.integer(2, -1);
  machine.visit(text.size());
  machine.reserve(replaced_bytes(text, old, with, count));
  return machine.text(replaced(text, old, with, count));
}

Value indent(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("indent", {"width", "first", "blank"}, 0, arguments);
  require_defined(value);
  if (!value.is(Kind::kString)) fail("indent() expects a string, not '{}'", type_name(value));
  std::string space(4, ' ');
  if (bound.has(0) && bound[0].is(Kind::kString)) {
    space = bound[0].text();
  } else {
    const int64_t width = std::max<int64_t>(bound.integer(0, 4), 0);
    machine.reserve(width);
    machine.copy(static_cast<size_t>(width));
    space.assign(static_cast<size_t>(width), ' ');
  }
  const std::string text = std::string(value.text()) + "\n";
  machine.visit(text.size());
  if (value.is_marked()) space = escaped(space);
  const std::vector<std::string_view> lines = split_lines(text, false);
  machine.reserve(static_cast<int64_t>(lines.size()), static_cast<int64_t>(space.size() + 16));
  machine.copy(lines.size() * space.size() + text.size());
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    const bool indents = i == 0 ? bound.flag(1, false) : bound.flag(2, false) || !lines[i].empty();
    if (indents) out += space;
    out += lines[i];
  }
  return machine.text(std::move(out), value.is_marked());
}

Value truncate(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("truncate", {"length", "killwords", "end", "leeway"}, 0, arguments);
  const int64_t length = bound.integer(0, 255);
  const std::string_view end = bound.text(2, "...");
  const bool has_leeway = bound.has(3) && !bound[3].is(Kind::kNone);
  const int64_t leeway = has_leeway ? bound.integer(3, 5) : 5;
  if (length < character_count(end))
    fail("expected length >= {}, got {}", character_count(end), length);
  if (leeway < 0) fail("expected leeway >= 0, got {}", leeway);
  // Of anything that has a length, Python returns what is short enough.
  const int64_t own_length = length_of(value);
  if (own_length >= 0 && own_length - leeway <= length) return value;
  if (!value.is(Kind::kString)) fail("truncate() expects a string, not '{}'", type_name(value));
  const std::string_view text = value.text();
  machine.visit(text.size());
  std::string_view kept = text.substr(0, byte_offset(text, length - character_count(end)));
  if (!bound.flag(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return machine.text(std::string(kept) + std::string(end), value.is_marked());
}

Value escape(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("escape", {}, 0, arguments);
  if (value.is_marked()) return value;
  const std::string text = str(machine, value);
  machine.visit(text.size());
  machine.reserve(static_cast<int64_t>(text.size()), 5);
  return machine.text(escaped(text), true);
}

Value safe(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("safe", {}, 0, arguments);
  return machine.text(str(machine, value), true);
}

Value string(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("string", {}, 0, arguments);
  return text_of(machine, value);
}

Value wordcount(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("wordcount", {}, 0, arguments);
  const std::string text = str(machine, value);
  machine.visit(4 * text.size());
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
    const bool word =
        text[at] == '_' ||
        all_characters(std::string_view(text).substr(at, utf8_length(text[at])), "alnum");
    count += static_cast<int64_t>(word && !inside);
    inside = word;
  }
  return Value::of(count);
}

Value urlencode(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("urlencode", {}, 0, arguments);
  if (!value.is(Kind::kString) && !value.is_number()) {
    fail("urlencode() of a '{}' is not supported", type_name(value));
  }
  const std::string text = str(machine, value);
  machine.step(static_cast<int64_t>(text.size()));
  machine.reserve(static_cast<int64_t>(text.size()), 3);
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return machine.text(std::move(out));
}

Value format(Machine& machine, const Value& value, Arguments& arguments) {
  if (!arguments.named.empty()) fail("format() with keyword arguments is not supported");
  return percent_format(machine, text_of(machine, value), machine.tuple(arguments.positional));
}

Value tojson(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, arguments);
  JsonStyle style;
  style.ensure_ascii = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (bound.has(1) && !bound[1].is(Kind::kNone)) {
    style.has_indent = true;
    style.item_separator = ',';
    if (bound[1].is(Kind::kString)) {
      style.indent = bound[1].text();
    } else {
      const int64_t width = std::max<int64_t>(bound.integer(1, 0), 0);
      machine.reserve(width);
      style.indent.assign(static_cast<size_t>(width), ' ');
    }
  }
  if (bound.has(2) && !bound[2].is(Kind::kNone)) {
    const std::vector<Value> separators = machine.iterate(bound[2]);
    if (separators.size() != 2 || !separators[0].is(Kind::kString) ||
        !separators[1].is(Kind::kString)) {
      fail("tojson() expects two strings as separators");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  return machine.text(to_json(machine, value, style));
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"capitalize", &by_method<kCapitalize>},
    {"e", &escape},
    {"escape", &escape},
    {"format", &format},
    {"indent", &indent},
    {"lower", &by_method<kLower>},
    {"replace", &replace},
    {"safe", &safe},
    {"string", &string},
    {"title", &title},
    {"tojson", &tojson},
    {"trim", &trim},
    {"truncate", &truncate},
    {"upper", &by_method<kUpper>},
    {"urlencode", &urlencode},
    {"wordcount", &wordcount},
});

}  // namespace

std::span<const Filter> text_filters() { return kFilters; }

}  // namespace prune::jinja
