#include <prune/core/error.h>
#include <prune/solver/prune_columns.h>
#include <prune/solver/prune_weight.h>

#include "alps.h"
#include "refine.h"

namespace prune::solver {

PruneResult prune_weight_(Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options) {
  if (options.solver == Algorithm::kSparseGpt && options.refine == 0) {
    return prune_columns_(weight, factor, options);
  }
  // Moving weights after they were rounded would undo it.
  if (options.quantization.on()) {
    throw Error(ErrorKind::kUsage,
                "--wbits below 16 goes with --solver sparsegpt and without --refine only");
  }
  const Tensor dense = weight.clone();
  PruneResult result = options.solver == Algorithm::kAlps ? detail::alps_(weight, factor, options)
                                                          : prune_columns_(weight, factor, options);
  detail::refine_(weight, dense, factor, options.refine, result);
  return result;
}

}  // namespace prune::solver
