#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver::detail {

/// Moves the kept weights, and no others, towards the minimum of tr((W - W₀) H (W - W₀)ᵀ), H damped:
/// conjugate gradients on all rows at once, each row with its own step length, preconditioned with
/// 1 / H_jj. One [rows, cols] x [cols, cols] product a step, one before and one after.
/// @param weight [rows, cols] float32, zero where masked; changed in place, on any device.
/// @param dense  [rows, cols] float32, W₀.
/// @param factor of the layer's input. Weights of dead inputs stay as they are.
/// @param steps  at most; it ends when the gradient has fallen to 1e-4 of what it was: on the CPU for some
///        rows at a time, and the steps that are reported are the most that any took.
/// @param result its mask is used; its loss and what refining found are set.
/// Source: DESIGN §4.8; Hestenes & Stiefel 1952.
void refine_(Tensor& weight, const Tensor& dense, const hessian::HessianFactor& factor,
             int64_t steps, PruneResult& result);

}  // namespace prune::solver::detail
