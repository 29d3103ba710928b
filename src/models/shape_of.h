#pragma once

#include <prune/models/model_shape.h>

#include "family_registry.h"

namespace prune::models {

/// What a config.json says. @param names  of a wrapper's tensors. @throws Error(input) as read_model_shape(), without the file
ModelShape shape_of(const nlohmann::json& raw, const WrapperNames& names = kWrapperNames[0]);

/// The names that the tensors of `shape` have, if it is a wrapper.
const WrapperNames& names_of(const ModelShape& shape);

}  // namespace prune::models
