#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver::detail {

/// Checks the arguments that all solvers share.
/// @throws Error(usage) for options that do not fit the shape, Error(numeric) for a broken factor.
void check_inputs(const Tensor& weight, const hessian::HessianFactor& factor,
                  const SolverOptions& options);

}  // namespace prune::solver::detail
