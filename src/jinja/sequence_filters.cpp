#include <prune/core/printable.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "builtins.h"
#include "evaluator.h"
#include "machine.h"
#include "operators.h"
#include "print.h"
#include "text.h"

namespace prune::jinja {
namespace {

/// jinja2's make_attrgetter: "a.b.0" of an object; the object itself without an attribute.
class AttributeGetter {
 public:
  AttributeGetter(Machine& machine, const Value& attribute, bool ignore_case = false,
                  Value otherwise = Value::none())
      : machine_(machine), ignore_case_(ignore_case), otherwise_(std::move(otherwise)) {
    if (attribute.is(Kind::kNone)) return;
    if (!attribute.is(Kind::kString)) {
      parts_.push_back(attribute);
      return;
    }
    for (const std::string_view part : split_at(attribute.text(), ".", -1, false)) {
      int64_t index = 0;
      const auto end = std::from_chars(part.data(), part.data() + part.size(), index);
      const bool is_index =
          end.ec == std::errc() && end.ptr == part.data() + part.size() && index >= 0;
      parts_.push_back(is_index ? Value::of(index) : machine.text(std::string(part)));
    }
  }

  Value operator()(Value item) const {
    for (const Value& part : parts_) {
      machine_.step();
      item = item_of(machine_, item, part);
      if (item.is(Kind::kUndefined) && !otherwise_.is(Kind::kNone)) item = otherwise_;
    }
    if (!ignore_case_ || !item.is(Kind::kString)) return item;
    machine_.visit(4 * item.text().size());
    return machine_.text(lower_case(item.text()));
  }

 private:
  Machine& machine_;
  bool ignore_case_;
  Value otherwise_;
  std::vector<Value> parts_;
};

using Keyed = std::vector<std::pair<Value, Value>>;

/// The items in the order of their keys.
Value sorted(Machine& machine, Keyed keys_and_items, bool reverse) {
  sort_by(machine, keys_and_items, reverse);
  std::vector<Value> items;
  for (auto& [key, item] : keys_and_items) items.push_back(std::move(item));
  return machine.list(std::move(items));
}

Value first(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("first", {}, 0, arguments);
  if (value.is(Kind::kIterator)) {
    auto& iterator = value.as<Iterator>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
  } else if (value.is(Kind::kString)) {
    if (!value.text().empty()) return item_of(machine, value, Value::of(int64_t{0}));
  } else {
    const std::vector<Value> items = machine.iterate(value);
    if (!items.empty()) return items.front();
  }
  return machine.undefined("No first item, sequence was empty.");
}

Value last(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("last", {}, 0, arguments);
  if (length_of(value) < 0) fail("'{}' object is not reversible", type_name(value));
  if (length_of(value) == 0) return machine.undefined("No last item, sequence was empty.");
  if (value.is(Kind::kString) || value.is_sequence()) {
    return item_of(machine, value, Value::of(int64_t{-1}));
  }
  return machine.iterate(value).back();
}

Value length(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("length", {}, 0, arguments);
  if (value.is(Kind::kLoop)) return Value::of(value.as<Loop>().length(machine));
  const int64_t result = length_of(value);
  if (result < 0) fail("object of type '{}' has no length", type_name(value));
  return Value::of(result);
}

Value list(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("list", {}, 0, arguments);
  return machine.list(machine.iterate(value));
}

Value items(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("items", {}, 0, arguments);
  std::vector<Value> pairs;
  if (value.is(Kind::kUndefined)) return machine.iterator({});
  if (!value.is(Kind::kDict)) fail("Can only get item pairs from a mapping.");
  for (const auto& [key, content] : value.dict().entries) {
    pairs.push_back(machine.tuple({key, content}));
  }
  return machine.iterator(std::move(pairs));
}

Value reverse(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("reverse", {}, 0, arguments);
  if (value.is(Kind::kString)) {
    return slice_of(machine, value, Value::none(), Value::none(), Value::of(int64_t{-1}));
  }
  std::vector<Value> all = machine.iterate(value);
  std::reverse(all.begin(), all.end());
  // Python's reversed() reads lists, dicts and the like; of anything else jinja2 makes a list.
  return value.is(Kind::kIterator) ? machine.list(std::move(all))
                                   : machine.iterator(std::move(all));
}

Value join(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("join", {"d", "attribute"}, 0, arguments);
  const AttributeGetter get(machine, bound.value_or(1, Value::none()));
  const std::string separator = bound.has(0) ? str(machine, bound[0]) : "";
  std::string out;
  std::string storage;
  bool is_first = true;
  for (const Value& item : machine.iterate(value)) {
    const Value content = get(item);
    const std::string_view part = str_view(machine, content, storage);
    machine.reserve(static_cast<int64_t>(out.size() + separator.size() + part.size()));
    machine.copy(separator.size() + part.size());
    machine.step();
    if (!is_first) out += separator;
    out += part;
    is_first = false;
  }
  return machine.text(std::move(out));
}

Value with_default(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("default", {"default_value", "boolean"}, 0, arguments);
  if (!value.is(Kind::kUndefined) && (!bound.flag(1, false) || is_true(value))) return value;
  return bound.has(0) ? bound[0] : machine.text("");
}

Value attr(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("attr", {"name"}, 1, arguments);
  require_defined(value);
  const Value found = own_attribute(machine, value, bound.text(0, ""));
  if (!found.is_unset()) return found;
  return machine.undefined(fmt::format("'{}' object has no attribute '{}'", type_name(value),
                                       printable(bound[0].text(), 60)));
}

Value batch(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("batch", {"linecount", "fill_with"}, 1, arguments);
  std::vector<Value> batches;
  std::vector<Value> current;
  for (const Value& item : machine.iterate(value)) {
    if (equal(machine, Value::of(static_cast<int64_t>(current.size())), bound[0])) {
      batches.push_back(machine.list(std::exchange(current, {})));
    }
    current.push_back(item);
  }
  if (current.empty()) return machine.iterator(std::move(batches));
  if (bound.has(1) && !bound[1].is(Kind::kNone)) {
    const int64_t missing = bound.integer(0, 0) - static_cast<int64_t>(current.size());
    machine.reserve(missing, sizeof(Value));
    machine.step(std::max<int64_t>(missing, 0) / 4);
    current.insert(current.end(), static_cast<size_t>(std::max<int64_t>(missing, 0)), bound[1]);
  }
  batches.push_back(machine.list(std::move(current)));
  return machine.iterator(std::move(batches));
}

Value slice(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("slice", {"slices", "fill_with"}, 1, arguments);
  std::vector<Value> slices;
  const std::vector<Value> all = machine.iterate(value);
  const int64_t count = bound.integer(0, 0);
  if (count == 0) fail("integer division or modulo by zero");
  const auto size = static_cast<int64_t>(all.size());
  const int64_t longer = size % std::abs(count);
  machine.reserve(count, sizeof(Value) + 96);
  auto at = all.begin();
  for (int64_t i = 0; i < count; ++i) {
    machine.step();
    const auto end = at + size / count + static_cast<int64_t>(i < longer);
    std::vector<Value> part(at, end);
    at = end;
    if (bound.has(1) && !bound[1].is(Kind::kNone) && i >= longer) part.push_back(bound[1]);
    slices.push_back(machine.list(std::move(part)));
  }
  return machine.iterator(std::move(slices));
}

Value dictsort(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("dictsort", {"case_sensitive", "by", "reverse"}, 0, arguments);
  const std::string_view by = bound.text(1, "key");
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  require_defined(value);
  if (!value.is(Kind::kDict)) fail("dictsort() expects a dict, not '{}'", type_name(value));
  const AttributeGetter get(machine, Value::none(), !bound.flag(0, false));
  Keyed order;
  for (const auto& [key, content] : value.dict().entries) {
    order.emplace_back(get(by == "key" ? key : content), machine.tuple({key, content}));
  }
  return sorted(machine, std::move(order), bound.integer(2, 0) != 0);
}

Value sort(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("sort", {"reverse", "case_sensitive", "attribute"}, 0, arguments);
  const Value attribute = bound.value_or(2, Value::none());
  std::vector<AttributeGetter> getters;
  if (attribute.is(Kind::kString)) {
    for (const std::string_view one : split_at(attribute.text(), ",", -1, false)) {
      getters.emplace_back(machine, machine.text(std::string(one)), !bound.flag(1, false));
    }
  } else {
    getters.emplace_back(machine, attribute, !bound.flag(1, false));
  }
  Keyed order;
  const bool backwards = bound.integer(0, 0) != 0;
  for (const Value& item : machine.iterate(value)) {
    std::vector<Value> key;
    for (const AttributeGetter& get : getters) key.push_back(get(item));
    order.emplace_back(machine.list(std::move(key)), item);
  }
  return sorted(machine, std::move(order), backwards);
}

Value groupby(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("groupby", {"attribute", "default", "case_sensitive"}, 1, arguments);
  const Value otherwise = bound.value_or(1, Value::none());
  const AttributeGetter key_of(machine, bound[0], !bound.flag(2, false), otherwise);
  const AttributeGetter shown_key(machine, bound[0], false, otherwise);
  Keyed order;
  for (const Value& item : machine.iterate(value)) order.emplace_back(key_of(item), item);
  sort_by(machine, order, false);
  std::vector<Value> groups;
  for (size_t at = 0; at < order.size();) {
    std::vector<Value> members;
    const Value key = order[at].first;
    while (at < order.size() && equal(machine, order[at].first, key)) {
      members.push_back(order[at++].second);
    }
    // NaN is not equal to itself.
    if (members.empty()) members.push_back(order[at++].second);
    const Value grouper = shown_key(members.front());
    const Value group = machine.tuple({grouper, machine.list(std::move(members))});
    group.as<Sequence>().is_group = true;
    groups.push_back(group);
  }
  return machine.list(std::move(groups));
}

template <bool largest>
Value extreme(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("min", {"case_sensitive", "attribute"}, 0, arguments);
  const AttributeGetter get(machine, bound.value_or(1, Value::none()), !bound.flag(0, false));
  const std::vector<Value> all = machine.iterate(value);
  if (all.empty()) return machine.undefined("No aggregated item, sequence was empty.");
  Value best = all.front();
  Value best_key = get(best);
  for (size_t i = 1; i < all.size(); ++i) {
    Value key = get(all[i]);
    if (!ordered(machine, largest ? ">" : "<", key, best_key)) continue;
    best = all[i];
    best_key = std::move(key);
  }
  return best;
}

Value sum(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("sum", {"attribute", "start"}, 0, arguments);
  const AttributeGetter get(machine, bound.value_or(0, Value::none()));
  Value total = bound.value_or(1, Value::of(int64_t{0}));
  if (total.is(Kind::kString)) fail("sum() can't sum strings");
  for (const Value& item : machine.iterate(value)) {
    machine.step();
    total = binary(machine, "+", total, get(item));
  }
  return total;
}

Value unique(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("unique", {"case_sensitive", "attribute"}, 0, arguments);
  std::vector<Value> out;
  const AttributeGetter get(machine, bound.value_or(1, Value::none()), !bound.flag(0, false));
  Dict seen;
  for (const Value& item : machine.iterate(value)) {
    const Value key = get(item);
    if (seen.find(machine, key) != nullptr) continue;
    seen.set(machine, key, Value());
    out.push_back(item);
  }
  return machine.iterator(std::move(out));
}

Value map(Machine& machine, const Value& value, Arguments& arguments) {
  std::vector<Value> out;
  if (!is_true(value)) return machine.iterator(std::move(out));
  if (arguments.positional.empty() && !arguments.named.empty()) {
    const Bound bound("map", {"attribute", "default"}, 1, arguments);
    const AttributeGetter get(machine, bound[0], false, bound.value_or(1, Value::none()));
    for (const Value& item : machine.iterate(value)) out.push_back(get(item));
    return machine.iterator(std::move(out));
  }
  if (arguments.positional.empty()) fail("map requires a filter argument");
  const Value name = arguments.positional.front();
  if (!name.is(Kind::kString)) fail("map() expects the name of a filter");
  arguments.positional.erase(arguments.positional.begin());
  for (const Value& item : machine.iterate(value)) {
    out.push_back(machine.filter(name.text(), item, arguments));
  }
  return machine.iterator(std::move(out));
}

template <bool keep, bool by_attribute>
Value select(Machine& machine, const Value& value, Arguments& arguments) {
  auto& given = arguments.positional;
  const auto take = [&] {
    Value front = given.front();
    given.erase(given.begin());
    return front;
  };
  std::vector<Value> out;
  if (!is_true(value)) return machine.iterator(std::move(out));
  if (by_attribute && given.empty()) fail("Missing parameter for attribute name");
  const AttributeGetter get(machine, by_attribute ? take() : Value::none());
  const bool has_test = !given.empty();
  const Value name = has_test ? take() : Value::none();
  const std::vector<Value> all = machine.iterate(value);
  if (has_test && !name.is(Kind::kString)) fail("expected the name of a test");
  for (const Value& item : all) {
    const Value tested = get(item);
    const bool holds = has_test ? machine.test(name.text(), tested, arguments) : is_true(tested);
    if (holds == keep) out.push_back(item);
  }
  return machine.iterator(std::move(out));
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"attr", &attr},
    {"batch", &batch},
    {"count", &length},
    {"d", &with_default},
    {"default", &with_default},
    {"dictsort", &dictsort},
    {"first", &first},
    {"groupby", &groupby},
    {"items", &items},
    {"join", &join},
    {"last", &last},
    {"length", &length},
    {"list", &list},
    {"map", &map},
    {"max", &extreme<true>},
    {"min", &extreme<false>},
    {"reject", &select<false, false>},
    {"rejectattr", &select<false, true>},
    {"reverse", &reverse},
    {"select", &select<true, false>},
    {"selectattr", &select<true, true>},
    {"slice", &slice},
    {"sort", &sort},
    {"sum", &sum},
    {"unique", &unique},
});

}  // namespace

std::span<const Filter> sequence_filters() { return kFilters; }

}  // namespace prune::jinja
