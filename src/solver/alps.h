#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver::detail {

/// Chooses the mask of the whole layer by ADMM on min tr((W - W₀) H (W - W₀)ᵀ) with exactly k
/// zeros, k as in prune_columns_, or N zeros in every M. Columns are scaled so that diag H = 1.
/// With the split W = D a step alternates a ridge solve for W and a projection of W + V / rho onto
/// the k-sparse matrices; rho grows while the mask still changes. That is 20 to 40 products of
/// [rows, cols] x [cols, cols], and for every third of them an inverse of H + rho I. The kept
/// weights end near their optimum, not at it: refine_ must follow, and it sets the loss.
/// @param weight [rows, cols] float32 contiguous, columns in the factor's permutation; changed in
///        place; any device.
/// @param factor of the layer's site, same device. Weights of dead columns are pruned first.
/// @throws Error(usage) as prune_columns_, Error(numeric) if H is not positive definite.
/// Source: Meng et al. 2024, ALPS, Algorithm 1 (arXiv 2406.07831); src/solver/README.md, "ALPS".
PruneResult alps_(Tensor& weight, const hessian::HessianFactor& factor,
                  const SolverOptions& options);

}  // namespace prune::solver::detail
