#pragma once

#include <string>
#include <utility>
#include <vector>

#include "unpickler.h"

namespace prune::checkpoint {

/// Named tensors of a pickled state dict, in the dict's order; other entries are skipped. If the outermost
/// dict holds no tensor but exactly one dict of tensors ({'state_dict': ...}), that dict is used.
/// @throws Error(input): not a dict, no tensors, several candidate dicts, a name that occurs twice or is not
///         UTF-8.
std::vector<std::pair<std::string, PickleTensor>> tensors_of_state_dict(const Unpickled& pickle);

}  // namespace prune::checkpoint
