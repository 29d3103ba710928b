#pragma once

#include <prune/core/tensor.h>
#include <prune/hessian/factor.h>

#include <array>

namespace prune::loss {

/// Number of points of a loss curve: sparsity 0, 0.01, ..., 1.
inline constexpr size_t kQuantiles = 101;

/// The estimated loss of pruning a layer, from its dense weights: src/loss/README.md, "Estimate".
struct LayerLoss {
  double mean = 0.0;   ///< mean of w² / (2 U_jj²) over all weights
  double total = 0.0;  ///< mean times the number of weights: the loss of pruning all in turn
  /// cumulative[q]: sum of the smallest q % of the estimates.
  std::array<double, kQuantiles> cumulative{};
  double energy = 0.0;  ///< tr(W H Wᵀ), twice the squared output per sample; set by the caller
};

/// Multiplies all losses and the energy.
void scale_(LayerLoss& loss, double factor);

/// Pruning weight (i, j) after all columns before j costs w_ij² / (2 U_jj²) = w_ij² V_jj² / 2: row
/// j of U is the inverse Hessian with the columns before j eliminated. It does not depend on the
/// mask, so one factorisation serves all rows and all sparsities.
/// @param weight [rows, cols] of any float dtype on the factor's device, columns in the factor's
///        permutation.
/// Source: arXiv 2409.20094 (loss estimated from the rows of the inverse Hessian).
LayerLoss estimate_loss(const Tensor& weight, const hessian::HessianFactor& factor);

}  // namespace prune::loss
