#pragma once

#include "ast.h"

namespace prune::jinja {

/// Gives every variable its slot, with the scopes that jinja2's compiler gives it (jinja2/idtracking.py), and
/// refuses unknown filters and tests where jinja2 does. @throws Error(input) "NAME:LINE: ..."
void resolve(Program& program);

}  // namespace prune::jinja
