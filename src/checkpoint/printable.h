#pragma once

#include <string>
#include <string_view>

namespace prune::checkpoint {

/// A name from a file as an error message may show it: control characters escaped, so that the
/// message stays one line and the terminal is left alone, and cut where it is absurdly long.
std::string printable(std::string_view name);

}  // namespace prune::checkpoint
