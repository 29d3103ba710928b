#pragma once

#include <string>
#include <string_view>

#include "ast.h"

namespace prune::jinja {

/// Parses with jinja2's grammar. @param depth  limit of nested constructs
/// @throws Error(input) "NAME:LINE: ..."
Body parse(const std::string& name, std::string_view source, int64_t depth);

}  // namespace prune::jinja
