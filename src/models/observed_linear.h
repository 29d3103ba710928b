#pragma once

#include <prune/models/block.h>

namespace prune::models {

/// y = x Wᵀ + b, shown to the observer.
Tensor observed_linear(const Linear& layer, const Tensor& x, BlockObserver* observer);

}  // namespace prune::models
