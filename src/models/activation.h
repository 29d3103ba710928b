#pragma once

#include <prune/core/tensor.h>

#include <string>

namespace prune::models {

using Activation = Tensor (*)(const Tensor&);

/// The function that config.json calls "relu", "gelu", ... @throws Error(input) for an unknown name
Activation find_activation(const std::string& name);

}  // namespace prune::models
