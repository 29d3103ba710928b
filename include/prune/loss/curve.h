#pragma once

#include <prune/loss/estimate.h>

namespace prune::loss {

/// The estimated loss of a layer at a sparsity in [0, 1]: its cumulative curve, interpolated linearly.
double loss_at(const LayerLoss& layer, double sparsity);

}  // namespace prune::loss
