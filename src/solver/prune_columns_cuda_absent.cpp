#include <prune/core/error.h>

#include "prune_columns_detail.h"

namespace prune::solver::detail {

PruneResult prune_columns_cuda_(Tensor& /*weight*/, const hessian::HessianFactor& /*factor*/,
                                const SolverOptions& /*options*/) {
  throw Error(ErrorKind::kDevice,
              "built without CUDA: use --device cpu, or build with -DPRUNE_CUDA=ON");
}

}  // namespace prune::solver::detail
