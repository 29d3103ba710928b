#pragma once

#include <prune/core/tensor.h>

#include <vector>

namespace prune::loss {

/// A layer as OWL looks at it.
struct WeightAndInput {
  Tensor weight;  ///< [rows, cols] of any float dtype
  Tensor
      input_norm;  ///< [cols] |x_j| over the calibration tokens, up to one factor for the whole block
};

/// Share of a block's weights whose |w_ij| |x_j| is more than 5 times the mean of it over the block.
/// Source: Yin et al. 2023, arXiv 2310.05175, section 3 (layer-wise outlier distribution, M = 5).
double outlier_share(const std::vector<WeightAndInput>& layers);

}  // namespace prune::loss
