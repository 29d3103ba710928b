#pragma once

#include <prune/core/tensor.h>
#include <prune/hessian/factor.h>

#include <array>

namespace prune::loss {

/// Number of points of a loss curve: sparsity 0, 0.01, ..., 1.
inline constexpr size_t kQuantiles = 101;

/// What pruning a layer is estimated to cost, before any weight is touched (DESIGN §4.3).
struct LayerLoss {
  double mean = 0.0;   ///< mean of w² / (2 U_jj²) over all weights
  double total = 0.0;  ///< mean times the number of weights: "sequentially pruning all"
  /// cumulative[q]: sum over the q % of the weights with the smallest estimates.
  std::array<double, kQuantiles> cumulative{};
  double energy = 0.0;  ///< tr(W H Wᵀ): squared output per calibration sample, times 2
};

/// Pruning weight (i, j) after all columns before j costs w_ij² / (2 U_jj²) = w_ij² V_jj² / 2: row j of
/// the factored inverse is the inverse Hessian with the columns before j eliminated, and does not
/// depend on the mask, so one factorisation serves all rows and sparsities.
/// @param weight [rows, cols] of any float dtype on the factor's device.
/// Source: arXiv 2409.20094 (loss estimated from the rows of the inverse Hessian).
LayerLoss estimate_loss(const Tensor& weight, const hessian::HessianFactor& factor);

}  // namespace prune::loss
