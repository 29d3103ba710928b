#pragma once

namespace prune {

const char* version();
/// The commit the program was configured from, "unknown" outside a git checkout.
const char* commit();

}  // namespace prune
