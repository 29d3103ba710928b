#pragma once

#include <span>
#include <string_view>

#include "builtins.h"

namespace prune::jinja {

std::span<const Filter> text_filters();
std::span<const Filter> number_filters();
std::span<const Filter> sequence_filters();

}  // namespace prune::jinja
