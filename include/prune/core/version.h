#pragma once

namespace prune {

const char* version();
/// The commit the program was built from, with "-dirty" behind it where files differed from that commit;
/// "unknown" outside a git checkout.
const char* commit();

}  // namespace prune
