#include "prune_layer.h"

#include <prune/core/error.h>

namespace prune::pipeline {
namespace {

// A kept weight that rounds to zero becomes the smallest number of the dtype instead: the number of zeros
// was promised. Refined weights may be that small.
Tensor rounded(const Tensor& weight, at::ScalarType dtype) {
  Tensor stored = weight.to(dtype).cpu();
  if (stored.element_size() == 2) {  // of float16 and bfloat16 it is the bit pattern 1
    const Tensor lost = stored.eq(0).logical_and_(weight.cpu().ne(0));
    stored.view(at::kShort).masked_fill_(lost, 1);
  }
  return stored;
}

}  // namespace

PrunedLayer prune_layer_(models::Linear& layer, const hessian::HessianFactor& factor,
                         const solver::SolverOptions& options, const models::Model& model) {
  Tensor weight = layer.weight.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  const solver::PruneResult result = solver::prune_weight_(weight, factor, options);
  const Tensor stored = rounded(weight, model.stored_dtype());
  if (!at::isfinite(stored).all().item<bool>()) {
    throw Error(ErrorKind::kNumeric, fmt::format("the pruned weights do not fit into {}",
                                                 dtype_name(model.stored_dtype())));
  }
  layer.weight = stored.to(model.device(), model.dtype());
  return {stored, result};
}

}  // namespace prune::pipeline
