#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/models/kept_units.h>
#include <prune/models/model_shape.h>

namespace prune::models {

/// Presents a checkpoint as that of a smaller model: tensors of removed units are gone, those of the others have new
/// numbers, and tensors with a slice for each unit have fewer slices.
/// @return the shape of the smaller model
ModelShape keep_units(checkpoint::Checkpoint& source, const ModelShape& shape,
                      const KeptUnits& kept);

}  // namespace prune::models
