#pragma once

namespace prune {

/// The version of the project, e.g. "0.1.0".
const char* version();
/// The commit the program was built from, with the suffix "-dirty" if files differed from that commit;
/// "unknown" outside a git checkout.
const char* commit();

}  // namespace prune
