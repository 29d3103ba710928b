#include <prune/core/printable.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <optional>

#include "builtins.h"
#include "evaluator.h"
#include "operators.h"
#include "text.h"

namespace prune::jinja {
namespace {

constexpr size_t kShownName = 60;

Value cycled(Machine& /*machine*/, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty()) fail("no items for cycling given");
  const auto index = static_cast<size_t>(self.as<Loop>().index0);
  return arguments.positional[index % arguments.positional.size()];
}

Value loop_attribute(Machine& machine, Loop& loop, const Value& self, std::string_view name) {
  if (name == "index") return Value::of(loop.index0 + 1);
  if (name == "index0") return Value::of(loop.index0);
  if (name == "first") return Value::of(loop.index0 == 0);
  if (name == "last") return Value::of(!loop.peek(machine));
  if (name == "length") return Value::of(loop.length(machine));
  if (name == "revindex") return Value::of(loop.length(machine) - loop.index0);
  if (name == "revindex0") return Value::of(loop.length(machine) - loop.index0 - 1);
  if (name == "depth") return Value::of(int64_t{1});
  if (name == "depth0") return Value::of(int64_t{0});
  if (name == "previtem") {
    return loop.index0 == 0 ? machine.undefined("the loop has no previous item") : loop.before;
  }
  if (name == "nextitem") {
    return loop.peek(machine) ? loop.ahead : machine.undefined("the loop has no next item");
  }
  if (name == "cycle") return machine.function(&cycled, self);
  if (name == "changed") fail("loop.changed() is not supported");
  return Value();
}

/// object[key]; unset where Python raises TypeError or LookupError.
Value plain_item(Machine& machine, const Value& object, const Value& key) {
  const auto index = [&](int64_t length) -> std::optional<int64_t> {
    if (!key.is_integer()) return std::nullopt;
    const int64_t at = key.integer() < 0 ? key.integer() + length : key.integer();
    if (at < 0 || at >= length) return std::nullopt;
    return at;
  };
  switch (object.kind()) {
    case Kind::kDict: {
      if (key.is(Kind::kList) || key.is(Kind::kDict) || key.is(Kind::kView)) return Value();
      const Value* found = object.dict().find(machine, key);
      return found == nullptr ? Value() : *found;
    }
    case Kind::kList:
    case Kind::kTuple: {
      const auto at = index(length_of(object));
      return at ? object.items()[static_cast<size_t>(*at)] : Value();
    }
    case Kind::kRange: {
      const auto& range = object.as<Range>();
      const auto at = index(range.size());
      return at ? Value::of(range.start + *at * range.step) : Value();
    }
    case Kind::kString: {
      const auto at = index(object.string().length);
      if (!at) return Value();
      const std::string_view text = object.text();
      size_t offset = static_cast<size_t>(*at);
      if (!object.string().ascii()) {
        machine.copy(text.size());
        offset = byte_offset(text, *at);
      }
      return machine.text(std::string(text.substr(offset, utf8_length(text[offset]))),
                          object.is_marked());
    }
    default:
      return Value();
  }
}

Value missing(Machine& machine, const Value& object, std::string_view name) {
  return machine.undefined(fmt::format("'{}' object has no attribute or item '{}'",
                                       type_name(object), printable(name, kShownName)));
}

Value unsafe(Machine& machine, const Value& object, std::string_view name) {
  return machine.undefined(fmt::format("the sandbox refuses access to attribute '{}' of a '{}'",
                                       printable(name, kShownName), type_name(object)));
}

}  // namespace

Value own_attribute(Machine& machine, const Value& object, std::string_view name) {
  // Attributes like __class__ exist everywhere.
  if (name.starts_with("__") && name.ends_with("__") && name.size() > 4) {
    return unsafe(machine, object, name);
  }
  Value found;
  switch (object.kind()) {
    case Kind::kLoop:
      found = loop_attribute(machine, object.as<Loop>(), object, name);
      break;
    case Kind::kMacro:
      fail("attributes of a macro are not supported");
    case Kind::kNamespace: {
      machine.step(static_cast<int64_t>(object.as<Namespace>().attributes.size() / 8));
      const Value* attribute = object.as<Namespace>().find(name);
      if (attribute != nullptr) found = *attribute;
      if (found.is_unset() && attribute != nullptr)
        found = machine.undefined("the attribute is undefined");
      break;
    }
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      for (const char* const known : {"real", "imag", "numerator", "denominator", "is_integer"}) {
        if (name == known) fail("attribute '{}' of a number is not supported", name);
      }
      return Value();
    case Kind::kTuple:
      if (object.as<Sequence>().is_group && (name == "grouper" || name == "list")) {
        return object.items()[name == "list" ? 1 : 0];
      }
      return method_of(machine, object, name);
    default:
      return method_of(machine, object, name);
  }
  if (!found.is_unset() && name.starts_with('_')) return unsafe(machine, object, name);
  return found;
}

Value attribute_of(Machine& machine, const Value& object, std::string_view name) {
  require_defined(object);
  const Value attribute = own_attribute(machine, object, name);
  if (!attribute.is_unset()) return attribute;
  if (object.is(Kind::kDict)) {
    if (const Value* found = object.dict().find(name)) return *found;
  }
  return missing(machine, object, name);
}

Value item_of(Machine& machine, const Value& object, const Value& key) {
  require_defined(object);
  const Value item = plain_item(machine, object, key);
  if (!item.is_unset()) return item;
  if (!key.is(Kind::kString)) {
    return missing(machine, object,
                   key.is_integer() ? std::to_string(key.integer()) : std::string(type_name(key)));
  }
  const Value attribute = own_attribute(machine, object, key.text());
  return attribute.is_unset() ? missing(machine, object, key.text()) : attribute;
}

Value slice_of(Machine& machine, const Value& object, const Value& start_bound,
               const Value& stop_bound, const Value& step_bound) {
  require_defined(object);
  if (!object.is(Kind::kString) && !object.is_sequence()) {
    fail("slices of '{}' objects are not supported", type_name(object));
  }
  const int64_t length = length_of(object);
  const auto bound = [&](const Value& value) -> std::optional<int64_t> {
    if (value.is(Kind::kNone)) return std::nullopt;
    require_defined(value);
    if (!value.is_integer())
      fail("slice indices must be integers or None, not '{}'", type_name(value));
    return value.integer();
  };
  const int64_t step = bound(step_bound).value_or(1);
  if (step == 0) fail("slice step cannot be zero");
  // PySlice_AdjustIndices.
  const int64_t low = step < 0 ? -1 : 0;
  const int64_t high = step < 0 ? length - 1 : length;
  const auto adjusted = [&](const Value& value, int64_t otherwise) {
    const std::optional<int64_t> given = bound(value);
    if (!given) return otherwise;
    return std::clamp(*given < 0 ? *given + length : *given, low, high);
  };
  const int64_t start = adjusted(start_bound, step < 0 ? high : low);
  const int64_t stop = adjusted(stop_bound, step < 0 ? low : high);
  Range indexes;
  indexes.start = start;
  indexes.stop = stop;
  // A step past the end reaches one element, as any longer one does.
  indexes.step = std::clamp(step, -length - 1, length + 1);
  const int64_t count = indexes.size();
  machine.step(count / 8);

  if (object.is(Kind::kString)) {
    const std::string_view text = object.text();
    std::string out;
    if (indexes.step == 1 || count == 0) {
      machine.copy(text.size());
      const std::string_view rest = text.substr(count == 0 ? 0 : byte_offset(text, start));
      out = rest.substr(0, byte_offset(rest, count));
    } else {
      machine.reserve(length, sizeof(size_t));
      machine.visit(text.size());
      std::vector<size_t> offsets;
      for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) offsets.push_back(at);
      for (int64_t i = 0; i < count; ++i) {
        const size_t at = offsets[static_cast<size_t>(start + i * indexes.step)];
        out += text.substr(at, utf8_length(text[at]));
      }
    }
    return machine.text(std::move(out), object.is_marked());
  }
  const std::vector<Value>& from = object.items();
  machine.reserve(count, sizeof(Value));
  std::vector<Value> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(from[static_cast<size_t>(start + i * indexes.step)]);
  return object.is(Kind::kTuple) ? machine.tuple(std::move(out)) : machine.list(std::move(out));
}

}  // namespace prune::jinja
