#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver::detail {

/// Chooses the mask of a whole layer by ADMM on min tr((W - W₀) H (W - W₀)ᵀ) with exactly k zeros, k as
/// in prune_columns_, or N zeros in every M. Columns are scaled so that diag H = 1. The split W = D
/// alternates a ridge solve for W (two products, with one eigendecomposition of H for all steps) and a
/// projection of W + V / rho on the k-sparse matrices; rho grows while the mask still moves. Some
/// hundred products of [rows, cols] x [cols, cols]. The kept weights are near their optimum, no more:
/// refine_ is to follow, and it is refine_ that finds the loss.
/// @param weight [rows, cols] float32 contiguous, changed in place; any device.
/// @param factor of the layer's input, same device. Weights of dead inputs are pruned first.
/// @throws Error(usage) as prune_columns_, Error(numeric) if the eigendecomposition fails.
/// Source: Meng et al. 2024, ALPS, Algorithm 1 (arXiv 2406.07831).
PruneResult alps_(Tensor& weight, const hessian::HessianFactor& factor,
                  const SolverOptions& options);

}  // namespace prune::solver::detail
