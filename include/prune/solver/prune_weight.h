#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver {

/// Prunes a layer with prune_columns_, then refines the kept weights as far as `options` asks for.
/// Parameters and errors as prune_columns_.
PruneResult prune_weight_(Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options);

}  // namespace prune::solver
