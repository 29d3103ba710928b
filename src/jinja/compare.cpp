#include <algorithm>
#include <functional>

#include "machine.h"
#include "operators.h"

namespace prune::jinja {
namespace {

bool equal_items(Machine& machine, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(machine, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Machine& machine, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const Entry& entry : a.entries) {
    const Value* other = b.find(machine, entry.first);
    if (other == nullptr || !equal(machine, entry.second, *other)) return false;
  }
  return true;
}

/// -1, 0 or 1, and 2 for NaN.
int sign(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) {
    return a.integer() < b.integer() ? -1 : static_cast<int>(a.integer() > b.integer());
  }
  // long double holds every int64_t exactly.
  const auto wide = [](const Value& v) {
    return v.is_integer() ? static_cast<long double>(v.integer())
                          : static_cast<long double>(v.number());
  };
  const long double x = wide(a);
  const long double y = wide(b);
  if (x < y) return -1;
  if (x > y) return 1;
  return x == y ? 0 : 2;
}

}  // namespace

uint64_t hash_of(std::string_view text) { return std::hash<std::string_view>()(text); }

uint64_t hash_of(Machine& machine, const Value& value) {
  machine.step();
  switch (value.kind()) {
    case Kind::kBool:
    case Kind::kInt:
      return std::hash<double>()(static_cast<double>(value.integer()));
    case Kind::kFloat:
      return std::hash<double>()(value.number());
    case Kind::kString:
      machine.copy(value.text().size());
      return hash_of(value.text());
    case Kind::kTuple: {
      uint64_t hash = 1;
      for (const Value& item : value.items()) hash = hash * 1000003 + hash_of(machine, item);
      return hash;
    }
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      fail("unhashable type: '{}'", type_name(value));
    case Kind::kUndefined:
    case Kind::kNone:
      return static_cast<uint64_t>(value.kind());
    case Kind::kRange:
      return static_cast<uint64_t>(value.as<Range>().size());
    default:
      return std::hash<const void*>()(value.identity());
  }
}

bool equal(Machine& machine, const Value& a, const Value& b) {
  machine.step();
  if (a.is_number() && b.is_number()) return sign(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      machine.copy(a.text().size());
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return a.identity() == b.identity() || equal_items(machine, a.items(), b.items());
    case Kind::kDict:
      return a.identity() == b.identity() || equal_dicts(machine, a.dict(), b.dict());
    case Kind::kRange: {
      const auto& x = a.as<Range>();
      const auto& y = b.as<Range>();
      const int64_t size = x.size();
      return size == y.size() &&
             (size == 0 || (x.start == y.start && (size == 1 || x.step == y.step)));
    }
    default:
      return a.identity() == b.identity();
  }
}

bool ordered(Machine& machine, std::string_view name, const Value& a, const Value& b) {
  machine.step();
  for (const Value* value : {&a, &b}) {
    if (value->is(Kind::kUndefined)) fail("{}", value->as<Undefined>().message);
  }
  const auto by_sign = [&](int s) {
    if (s == 2) return false;
    if (name == "<") return s < 0;
    if (name == "<=") return s <= 0;
    return name == ">" ? s > 0 : s >= 0;
  };
  if (a.is_number() && b.is_number()) return by_sign(sign(a, b));
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    machine.copy(std::min(a.text().size(), b.text().size()));
    // The order of UTF-8 bytes is the order of code points.
    const int s = a.text().compare(b.text());
    return by_sign(s < 0 ? -1 : static_cast<int>(s > 0));
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const std::vector<Value>& x = a.items();
    const std::vector<Value>& y = b.items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(machine, x[i], y[i])) return ordered(machine, name, x[i], y[i]);
    }
    return by_sign(x.size() < y.size() ? -1 : static_cast<int>(x.size() > y.size()));
  }
  fail("'{}' not supported between instances of '{}' and '{}'", name, type_name(a), type_name(b));
}

bool contains(Machine& machine, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString:
      if (!item.is(Kind::kString)) {
        fail("'in <string>' requires string as left operand, not {}", type_name(item));
      }
      machine.copy(container.text().size());
      return container.text().find(item.text()) != std::string_view::npos;
    case Kind::kDict:
      return container.dict().find(machine, item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
      return std::any_of(container.items().begin(), container.items().end(),
                         [&](const Value& other) { return equal(machine, item, other); });
    case Kind::kIterator: {
      auto& iterator = container.as<Iterator>();
      while (iterator.next < iterator.items.size()) {
        if (equal(machine, iterator.items[iterator.next++], item)) return true;
      }
      return false;
    }
    case Kind::kView:
      if (container.as<View>().part == View::Part::kKeys) {
        return contains(machine, container.as<View>().dict, item);
      }
      [[fallthrough]];
    case Kind::kRange:
    case Kind::kUndefined: {
      const std::vector<Value> items = machine.iterate(container);
      return std::any_of(items.begin(), items.end(),
                         [&](const Value& other) { return equal(machine, item, other); });
    }
    default:
      fail("argument of type '{}' is not iterable", type_name(container));
  }
}

void sort_by(Machine& machine, std::vector<std::pair<Value, Value>>& keys_and_items, bool reverse) {
  // Merging never trusts the order to be consistent, as std::sort would: NaN has none.
  machine.reserve(static_cast<int64_t>(keys_and_items.size()), 4 * sizeof(Value));
  if (reverse) std::reverse(keys_and_items.begin(), keys_and_items.end());
  std::vector<std::pair<Value, Value>> merged(keys_and_items.size());
  for (size_t width = 1; width < keys_and_items.size(); width *= 2) {
    for (size_t start = 0; start < keys_and_items.size(); start += 2 * width) {
      const size_t middle = std::min(start + width, keys_and_items.size());
      const size_t end = std::min(start + 2 * width, keys_and_items.size());
      size_t left = start;
      size_t right = middle;
      for (size_t out = start; out < end; ++out) {
        const bool take_right =
            left == middle || (right < end && ordered(machine, "<", keys_and_items[right].first,
                                                      keys_and_items[left].first));
        merged[out] = keys_and_items[take_right ? right++ : left++];
      }
    }
    keys_and_items.swap(merged);
  }
  if (reverse) std::reverse(keys_and_items.begin(), keys_and_items.end());
}

}  // namespace prune::jinja
