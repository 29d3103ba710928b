#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

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

/// Python's + - * / // % **
Value binary(Machine& machine, std::string_view name, const Value& left, const Value& right);

/// Python's unary + and -
Value unary(std::string_view name, const Value& value);

/// The error of an operation that escapes its arguments if `value` is marked as safe.
void require_unmarked(std::string_view name, const Value& value);

/// Python's int(float). @throws Failure beyond 64 bits, for NaN and infinities
int64_t integer_of(double value);

/// Python's `format % arguments`: %s %r %d %i %x %f, with `-`, `0`, width and precision.
Value percent_format(Machine& machine, const Value& format, const Value& arguments);

/// Python's str.format(): {} {0} {name}, each with :[fill]align 0 width , .precision and the types d f s.
Value str_format(Machine& machine, const Value& format, const Arguments& arguments);

/// The error of an operation on an undefined value, if `value` is one.
void require_defined(const Value& value);

}  // namespace prune::jinja
