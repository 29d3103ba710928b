#pragma once

#include <cstdint>
#include <string_view>

#include "value.h"

namespace prune::jinja {

/// @throws Failure if the value is not hashable in Python
uint64_t hash_of(Machine& machine, const Value& value);
uint64_t hash_of(std::string_view text);

/// Python's ==
bool equal(Machine& machine, const Value& a, const Value& b);

/// Python's < <= > >=. @param name the operator. @throws Failure if the types have no order.
bool ordered(Machine& machine, std::string_view name, const Value& a, const Value& b);

/// Python's `a in b`.
bool contains(Machine& machine, const Value& container, const Value& item);

/// Python's sorted(): stable, by the keys. @param items are reordered with their keys.
void sort_by(Machine& machine, std::vector<std::pair<Value, Value>>& keys_and_items, bool reverse);

}  // namespace prune::jinja
