#pragma once

#include <string_view>

#include "value.h"

namespace prune::jinja {

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
