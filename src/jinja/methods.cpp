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

struct Method {
  const char* name;
  Function::Call call;
};

Value texts(Machine& machine, const std::vector<std::string_view>& parts) {
  machine.reserve(static_cast<int64_t>(parts.size()), sizeof(Value));
  std::vector<Value> items;
  for (const std::string_view part : parts) {
    machine.step();
    items.push_back(machine.text(std::string(part)));
  }
  return machine.list(std::move(items));
}

template <std::string (*change)(std::string_view)>
Value changed(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("str method", {}, 0, arguments);
  machine.visit(4 * self.text().size());
  return machine.text(change(self.text()));
}

/// A predicate such as isdigit(); `name` without "is".
template <const char* name>
Value is(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("str method", {}, 0, arguments);
  machine.visit(self.text().size());
  return Value::of(all_characters(self.text(), name));
}

constexpr char kAlnum[] = "alnum", kAlpha[] = "alpha", kDigit[] = "digit", kLower[] = "lower",
               kNumeric[] = "numeric", kSpace[] = "space", kUpper[] = "upper";

template <Side side>
Value strip(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("strip", {""}, 0, arguments);
  const bool by_space = !bound.has(0) || bound[0].is(Kind::kNone);
  const std::string_view characters = by_space ? "" : bound.text(0, "");
  machine.visit(self.text().size() * (1 + characters.size() / 16));
  return machine.text(std::string(stripped(self.text(), by_space ? nullptr : &characters, side)));
}

template <bool from_right>
Value split(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("split", {"sep", "maxsplit"}, 0, arguments);
  const int64_t count = bound.integer(1, -1);
  machine.visit(self.text().size());
  if (!bound.has(0) || bound[0].is(Kind::kNone)) {
    machine.reserve(static_cast<int64_t>(self.text().size() / 2), sizeof(std::string_view));
    return texts(machine, split_white_space(self.text(), count, from_right));
  }
  const std::string_view separator = bound.text(0, "");
  if (separator.empty()) fail("empty separator");
  machine.reserve(static_cast<int64_t>(self.text().size() / separator.size()),
                  sizeof(std::string_view));
  // Searching from the right has no fast algorithm.
  if (from_right) machine.step(static_cast<int64_t>(self.text().size() / 64 * separator.size()));
  return texts(machine, split_at(self.text(), separator, count, from_right));
}

Value splitlines(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("splitlines", {"keepends"}, 0, arguments);
  machine.visit(self.text().size());
  machine.reserve(static_cast<int64_t>(self.text().size()), sizeof(std::string_view));
  return texts(machine, split_lines(self.text(), bound.integer(0, 0) != 0));
}

template <bool from_right>
Value partition(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("partition", {""}, 1, arguments);
  const std::string_view text = self.text();
  const std::string_view separator = bound.text(0, "");
  if (separator.empty()) fail("empty separator");
  machine.visit(text.size());
  if (from_right) machine.step(static_cast<int64_t>(text.size() / 64 * separator.size()));
  const size_t found = from_right ? text.rfind(separator) : find_text(text, separator);
  const auto part = [&](std::string_view content) { return machine.text(std::string(content)); };
  if (found == std::string_view::npos) {
    return from_right ? machine.tuple({part(""), part(""), part(text)})
                      : machine.tuple({part(text), part(""), part("")});
  }
  return machine.tuple(
      {part(text.substr(0, found)), part(separator), part(text.substr(found + separator.size()))});
}

/// The bytes of text[start:end] for find(), count(), startswith(): where they start, and the text up to the end.
/// False if start is past the end of the text.
bool range_of(Machine& machine, const Value& self, const Bound& bound, size_t& from,
              std::string_view& text) {
  text = self.text();
  machine.copy(text.size());
  const int64_t length = self.string().length;
  const auto position = [&](size_t i, int64_t otherwise) {
    if (!bound.has(i) || bound[i].is(Kind::kNone)) return otherwise;
    const int64_t at = bound.integer(i, 0);
    return std::max<int64_t>(at < 0 ? at + length : at, 0);
  };
  const int64_t start = position(1, 0);
  const int64_t end = std::min(position(2, length), length);
  if (start > end) return false;
  text = text.substr(0, byte_offset(text, end));
  from = byte_offset(text, start);
  return true;
}

enum class Search { kFind, kIndex };
template <bool from_right, Search search>
Value find(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("find", {"", "", ""}, 1, arguments);
  const std::string_view part = bound.text(0, "");
  size_t from = 0;
  std::string_view text;
  size_t found = std::string_view::npos;
  if (range_of(machine, self, bound, from, text)) {
    if (from_right) machine.step(static_cast<int64_t>(text.size() / 64 * part.size()));
    found = from_right ? text.rfind(part) : find_text(text, part, from);
    if (found != std::string_view::npos && found < from) found = std::string_view::npos;
  }
  if (found != std::string_view::npos) return Value::of(character_count(text.substr(0, found)));
  if (search == Search::kIndex) fail("substring not found");
  return Value::of(int64_t{-1});
}

Value count(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("count", {"", "", ""}, 1, arguments);
  size_t from = 0;
  std::string_view text;
  if (!range_of(machine, self, bound, from, text)) return Value::of(int64_t{0});
  machine.visit(text.size());
  return Value::of(count_text(text.substr(from), bound.text(0, "")));
}

template <bool at_end>
Value starts(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound(at_end ? "endswith" : "startswith", {"", "", ""}, 1, arguments);
  const bool any = bound[0].is(Kind::kTuple);
  if (!any) bound.text(0, "");
  size_t from = 0;
  std::string_view text;
  if (!range_of(machine, self, bound, from, text)) return Value::of(false);
  text.remove_prefix(from);
  const std::vector<Value> candidates = any ? bound[0].items() : std::vector<Value>{bound[0]};
  for (const Value& candidate : candidates) {
    machine.step();
    if (!candidate.is(Kind::kString))
      fail("{} is not a string or a tuple of strings", type_name(candidate));
    machine.copy(candidate.text().size());
    if (at_end ? text.ends_with(candidate.text()) : text.starts_with(candidate.text())) {
      return Value::of(true);
    }
  }
  return Value::of(false);
}

template <bool at_end>
Value remove_affix(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("removeprefix", {""}, 1, arguments);
  const std::string_view affix = bound.text(0, "");
  std::string_view text = self.text();
  machine.copy(text.size());
  if (!at_end && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (at_end && text.ends_with(affix)) text.remove_suffix(affix.size());
  return machine.text(std::string(text));
}

Value replace(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("replace", {"", "", ""}, 2, arguments);
  require_unmarked("replace()", self);
  const std::string_view with = bound.text(1, "");
  const std::string_view old = bound.text(0, "");
  machine.visit(self.text().size());
  machine.reserve(replaced_bytes(self.text(), old, with, bound.integer(2, -1)));
  return machine.text(replaced(self.text(), old, with, bound.integer(2, -1)));
}

enum class Align { kLeft, kRight, kCenter };
template <Align align>
Value justify(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("justify", {"", ""}, 1, arguments);
  const std::string_view fill = bound.text(1, " ");
  if (character_count(fill) != 1) fail("the fill character must be exactly one character long");
  const int64_t width = bound.integer(0, 0);
  const int64_t missing = std::max<int64_t>(width - self.string().length, 0);
  machine.reserve(missing, static_cast<int64_t>(fill.size()));
  machine.step(missing / 8);
  // CPython puts the odd space of an even width on the left.
  const int64_t left = align == Align::kLeft    ? 0
                       : align == Align::kRight ? missing
                                                : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += self.text();
  for (int64_t i = left; i < missing; ++i) out += fill;
  return machine.text(std::move(out));
}

Value zfill(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("zfill", {""}, 1, arguments);
  const int64_t missing = std::max<int64_t>(bound.integer(0, 0) - self.string().length, 0);
  machine.reserve(missing);
  machine.copy(static_cast<size_t>(missing));
  std::string out(self.text());
  const bool has_sign = out.starts_with('-') || out.starts_with('+');
  out.insert(has_sign ? 1 : 0, static_cast<size_t>(missing), '0');
  return machine.text(std::move(out));
}

Value join(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("join", {""}, 1, arguments);
  require_unmarked("join()", self);
  std::string out;
  bool first = true;
  for (const Value& item : machine.iterate(bound[0])) {
    if (!item.is(Kind::kString)) fail("join() expects strings, not '{}'", type_name(item));
    std::string part = str(machine, item);
    if (!first) part.insert(0, self.text());
    machine.copy(part.size());
    machine.reserve(static_cast<int64_t>(out.size() + part.size()));
    out += part;
    first = false;
  }
  return machine.text(std::move(out));
}

Value format(Machine& machine, const Value& self, Arguments& arguments) {
  return str_format(machine, self, arguments);
}

template <View::Part part>
Value view(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("dict method", {}, 0, arguments);
  auto object = std::make_shared<View>();
  object->part = part;
  object->dict = self;
  object->depth = self.depth() + 1;
  return Value(Kind::kView, machine.make(std::move(object), 96));
}

Value get(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("get", {"", ""}, 1, arguments);
  const Value* found = self.dict().find(machine, bound[0]);
  return found != nullptr ? *found : bound.value_or(1, Value::none());
}

Value copy(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("copy", {}, 0, arguments);
  if (self.is_sequence()) return machine.list(machine.iterate(self));
  auto entries = std::make_shared<Dict>();
  for (const auto& [key, value] : self.dict().entries) entries->set(machine, key, value);
  return machine.dict(std::move(entries));
}

Value list_index(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("index", {"", "", ""}, 1, arguments);
  const std::vector<Value>& items = self.items();
  const auto length = static_cast<int64_t>(items.size());
  const auto position = [&](size_t i, int64_t otherwise) {
    const int64_t at = bound.integer(i, otherwise);
    return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length);
  };
  for (int64_t i = position(1, 0); i < position(2, length); ++i) {
    if (equal(machine, items[static_cast<size_t>(i)], bound[0])) return Value::of(i);
  }
  fail("the value is not in the {}", type_name(self));
}

Value list_count(Machine& machine, const Value& self, Arguments& arguments) {
  const Bound bound("count", {""}, 1, arguments);
  return Value::of(static_cast<int64_t>(
      std::count_if(self.items().begin(), self.items().end(),
                    [&](const Value& item) { return equal(machine, item, bound[0]); })));
}

constexpr std::array kTextMethods = std::to_array<Method>({
    {"capitalize", &changed<capitalized>},
    {"center", &justify<Align::kCenter>},
    {"count", &count},
    {"endswith", &starts<true>},
    {"find", &find<false, Search::kFind>},
    {"format", &format},
    {"index", &find<false, Search::kIndex>},
    {"isalnum", &is<kAlnum>},
    {"isalpha", &is<kAlpha>},
    {"isdigit", &is<kDigit>},
    {"islower", &is<kLower>},
    {"isnumeric", &is<kNumeric>},
    {"isspace", &is<kSpace>},
    {"isupper", &is<kUpper>},
    {"join", &join},
    {"ljust", &justify<Align::kLeft>},
    {"lower", &changed<lower_case>},
    {"lstrip", &strip<Side::kLeft>},
    {"partition", &partition<false>},
    {"removeprefix", &remove_affix<false>},
    {"removesuffix", &remove_affix<true>},
    {"replace", &replace},
    {"rfind", &find<true, Search::kFind>},
    {"rindex", &find<true, Search::kIndex>},
    {"rjust", &justify<Align::kRight>},
    {"rpartition", &partition<true>},
    {"rsplit", &split<true>},
    {"rstrip", &strip<Side::kRight>},
    {"split", &split<false>},
    {"splitlines", &splitlines},
    {"startswith", &starts<false>},
    {"strip", &strip<Side::kBoth>},
    {"title", &changed<title_case>},
    {"upper", &changed<upper_case>},
    {"zfill", &zfill},
});

constexpr std::array kDictMethods = std::to_array<Method>({
    {"copy", &copy},
    {"get", &get},
    {"items", &view<View::Part::kItems>},
    {"keys", &view<View::Part::kKeys>},
    {"values", &view<View::Part::kValues>},
});

constexpr std::array kSequenceMethods = std::to_array<Method>({
    {"copy", &copy},
    {"count", &list_count},
    {"index", &list_index},
});

constexpr std::array<std::string_view, 8> kListChanges = {"append", "clear",  "extend",  "insert",
                                                          "pop",    "remove", "reverse", "sort"};
constexpr std::array<std::string_view, 5> kDictChanges = {"clear", "pop", "popitem", "setdefault",
                                                          "update"};
constexpr std::array<std::string_view, 12> kUnsupported = {
    "casefold",     "encode",      "expandtabs", "format_map", "isascii",  "isdecimal",
    "isidentifier", "isprintable", "istitle",    "maketrans",  "swapcase", "translate"};

template <class Names>
bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Methods>
Value bound_method(Machine& machine, const Methods& methods, const Value& self,
                   std::string_view name) {
  for (const Method& method : methods) {
    if (method.name == name) return machine.function(method.call, self);
  }
  return Value();
}

}  // namespace

Value method_of(Machine& machine, const Value& self, std::string_view name) {
  if ((self.is(Kind::kList) && has(kListChanges, name)) ||
      (self.is(Kind::kDict) && has(kDictChanges, name))) {
    return machine.undefined(
        fmt::format("the sandbox refuses method '{}', which changes a {}", name, type_name(self)));
  }
  switch (self.kind()) {
    case Kind::kString:
      if (has(kUnsupported, name)) fail("method '{}' of a str is not supported", name);
      return bound_method(machine, kTextMethods, self, name);
    case Kind::kDict:
      return bound_method(machine, kDictMethods, self, name);
    case Kind::kList:
      return bound_method(machine, kSequenceMethods, self, name);
    case Kind::kTuple:
      return name == "copy" ? Value() : bound_method(machine, kSequenceMethods, self, name);
    default:
      return Value();
  }
}

}  // namespace prune::jinja
