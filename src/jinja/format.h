#pragma once

#include <string_view>

#include "value.h"

namespace prune::jinja {

/// Python's `format % arguments`.
Value percent_format(Machine& machine, const Value& format, const Value& arguments);

/// Python's str.format().
Value str_format(Machine& machine, const Value& format, const Arguments& arguments);

}  // namespace prune::jinja
