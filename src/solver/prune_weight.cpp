#include <prune/core/error.h>
#include <prune/solver/prune_columns.h>
#include <prune/solver/prune_weight.h>

#include "alps.h"
#include "refine.h"

namespace prune::solver {
namespace {

// The same with the columns in the factor's order, and back.
PruneResult prune_in_order_(Tensor& weight, const hessian::HessianFactor& factor,
                            const SolverOptions& options) {
  Tensor ordered = weight.index_select(1, factor.permutation);
  PruneResult result = prune_columns_(ordered, factor, options);
  weight.index_copy_(1, factor.permutation, ordered);
  result.mask = at::empty_like(result.mask).index_copy_(1, factor.permutation, result.mask);
  return result;
}

}  // namespace

PruneResult prune_weight_(Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options) {
  if (options.solver == Algorithm::kSparseGpt && options.refine == 0) {
    return factor.permutation.defined() ? prune_in_order_(weight, factor, options)
                                        : prune_columns_(weight, factor, options);
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
