#pragma once

#include <prune/models/family.h>

// Each family is one file; the registry lists them by hand, because a static library drops objects
// that only register themselves.
namespace prune::models {

FamilySpec opt_family();

}  // namespace prune::models
