#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver {

/// Prunes a layer with the algorithm that `options` names, then refines the kept weights.
/// Parameters and errors as prune_columns_.
PruneResult prune_weight_(Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options);

}  // namespace prune::solver
