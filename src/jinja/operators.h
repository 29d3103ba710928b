#pragma once

#include <string_view>

#include "value.h"

namespace prune::jinja {

/// Python's + - * / // % **
Value binary(Machine& machine, std::string_view name, const Value& left, const Value& right);

/// Python's unary + and -
Value unary(std::string_view name, const Value& value);

/// Python's int(float). @throws Failure beyond 64 bits, for NaN and infinities
int64_t integer_of(double value);

/// The error of an operation on an undefined value, if `value` is one.
void require_defined(const Value& value);

}  // namespace prune::jinja
