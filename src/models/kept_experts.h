#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/models/model_shape.h>

#include <vector>

namespace prune::models {

/// Presents a checkpoint as that of a model with fewer experts: the others' tensors are gone, with their rows of the
/// routers and their matrices of stacks, and those that remain have new numbers.
/// @param kept  by block, as KeptUnits::experts
void keep_experts(checkpoint::Checkpoint& source, const ModelShape& shape,
                  const std::vector<std::vector<int64_t>>& kept);

}  // namespace prune::models
