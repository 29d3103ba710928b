#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver::detail {

/// What every algorithm of this room asks of its arguments.
/// @throws Error(usage) for options that the shape cannot have, Error(numeric) for a broken factor.
void check_inputs(const Tensor& weight, const hessian::HessianFactor& factor,
                  const SolverOptions& options);

}  // namespace prune::solver::detail
