#pragma once

#include <string>
#include <utility>
#include <vector>

#include "unpickler.h"

namespace prune::checkpoint {

/// The tensors of a pickled state dict by name, in its order; entries of other kinds are left out.
/// Where the outermost dict holds no tensor but exactly one dict of tensors ({'state_dict': ...}),
/// that one is taken.
/// @throws Error(input): no dict, no tensor, several candidates, a name twice or not in UTF-8.
std::vector<std::pair<std::string, PickleTensor>> tensors_of_state_dict(const Unpickled& pickle);

}  // namespace prune::checkpoint
