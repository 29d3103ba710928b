#include "value.h"

#include <prune/core/utf8.h>

#include <algorithm>
#include <array>

#include "machine.h"
#include "operators.h"

namespace prune::jinja {
namespace {

constexpr size_t kLinearSearch = 8;

}  // namespace

Value Value::of(bool value) {
  Value result(Kind::kBool, nullptr);
  result.whole = value ? 1 : 0;
  return result;
}

Value Value::of(int64_t value) {
  Value result(Kind::kInt, nullptr);
  result.whole = value;
  return result;
}

Value Value::of(double value) {
  Value result(Kind::kFloat, nullptr);
  result.real = value;
  return result;
}

std::string_view Value::text() const { return string().text; }

const std::vector<Value>& Value::items() const { return as<Sequence>().items; }

bool Value::is_marked() const { return is(Kind::kString) && string().marked; }

String::String(std::string content, bool is_marked)
    : text(std::move(content)), length(character_count(text)), marked(is_marked) {}

template <class Matches>
const Value* Dict::find_if(uint64_t hash, Matches matches) const {
  if (index_.empty()) {
    const auto found = std::find_if(entries.begin(), entries.end(), matches);
    return found == entries.end() ? nullptr : &found->second;
  }
  const auto [begin, end] = index_.equal_range(hash);
  const auto found =
      std::find_if(begin, end, [&](const auto& at) { return matches(entries[at.second]); });
  return found == end ? nullptr : &entries[found->second].second;
}

const Value* Dict::find(Machine& machine, const Value& key) const {
  return find_if(hash_of(machine, key),
                 [&](const Entry& entry) { return equal(machine, entry.first, key); });
}

const Value* Dict::find(std::string_view key) const {
  return find_if(hash_of(key), [&](const Entry& entry) {
    return entry.first.is(Kind::kString) && entry.first.text() == key;
  });
}

void Dict::set(Machine& machine, const Value& key, const Value& value) {
  machine.step();
  if (const Value* found = find(machine, key)) {
    const_cast<Value&>(*found) = value;
    return;
  }
  entries.emplace_back(key, value);
  const auto add = [&](size_t at) {
    index_.emplace(hash_of(machine, entries[at].first), static_cast<uint32_t>(at));
  };
  if (!index_.empty()) {
    add(entries.size() - 1);
  } else if (entries.size() > kLinearSearch) {
    for (size_t at = 0; at < entries.size(); ++at) add(at);
  }
}

int64_t Range::size() const {
  // Distances of two int64_t fit uint64_t only.
  const auto wide = [](int64_t value) { return static_cast<uint64_t>(value); };
  const bool any = step > 0 ? start < stop : start > stop;
  if (!any) return 0;
  const uint64_t distance = step > 0 ? wide(stop) - wide(start) : wide(start) - wide(stop);
  const uint64_t stride = step > 0 ? wide(step) : 0 - wide(step);
  return static_cast<int64_t>((distance - 1) / stride + 1);
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, const Value& value) {
  if (Value* found = find(name)) {
    *found = value;
  } else {
    attributes.emplace_back(name, value);
  }
}

std::string_view type_name(const Value& value) {
  static constexpr std::array<std::string_view, 16> kNames = {
      "Undefined", "None",  "bool",      "int",       "float",     "str",      "list",  "tuple",
      "dict",      "range", "dict view", "generator", "namespace", "function", "macro", "loop"};
  return kNames[static_cast<size_t>(value.kind())];
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.number() != 0;
    default:
      return length_of(value) != 0;
  }
}

int64_t length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.string().length;
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kView:
      return length_of(value.as<View>().dict);
    case Kind::kRange:
      return value.as<Range>().size();
    default:
      return -1;
  }
}

}  // namespace prune::jinja
