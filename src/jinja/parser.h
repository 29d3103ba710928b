#pragma once

#include <string_view>

#include "ast.h"

namespace prune::jinja {

/// Parses with jinja2's grammar. @param program  has a name; gets everything else
/// @param depth  limit of nested constructs. @throws Error(input) "NAME:LINE: ..."
void parse(Program& program, std::string_view source, int64_t depth);

}  // namespace prune::jinja
