#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver::detail {

/// Moves the kept weights towards the minimum of tr((W - W₀) H (W - W₀)ᵀ), H damped, by conjugate
/// gradients on all rows at once: each row has its own step length, 1 / H_jj is the preconditioner.
/// Takes one product [rows, cols] x [cols, cols] a step, one before and one after.
/// @param weight [rows, cols] float32, zero where masked, columns in the factor's permutation;
///        changed in place; any device.
/// @param dense  [rows, cols] float32, W₀.
/// @param factor of the layer's site. Weights of dead columns stay as they are.
/// @param steps  the limit; it stops earlier once the gradient is below 1e-4 of its first norm. The
///        CPU takes some rows at a time, and the steps reported are the most that any of them took.
/// @param result its mask is read; loss, refine_steps and refine_residual are set.
/// Source: src/solver/README.md, "Refine"; Hestenes & Stiefel 1952.
void refine_(Tensor& weight, const Tensor& dense, const hessian::HessianFactor& factor,
             int64_t steps, PruneResult& result);

}  // namespace prune::solver::detail
