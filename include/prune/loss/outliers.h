#pragma once

#include <prune/core/tensor.h>

#include <vector>

namespace prune::loss {

/// What OWL's score of a layer needs.
struct WeightAndInput {
  Tensor weight;  ///< [rows, cols] of any float dtype
  /// [cols] |x_j| over the calibration tokens; one factor common to the block's layers is allowed
  Tensor input_norm;
};

/// Share of a block's weights whose score |w_ij| |x_j| exceeds 5 times the block's mean score.
/// Source: Yin et al. 2023, arXiv 2310.05175, section 3 (layer-wise outlier distribution, M = 5).
double outlier_share(const std::vector<WeightAndInput>& layers);

}  // namespace prune::loss
