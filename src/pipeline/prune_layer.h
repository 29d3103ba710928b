#pragma once

#include <prune/core/quantization.h>
#include <prune/hessian/factor.h>
#include <prune/models/model.h>
#include <prune/solver/prune_weight.h>

namespace prune::pipeline {

struct PrunedLayer {
  Tensor
      stored;  ///< [rows, cols] in the checkpoint's dtype, CPU: what a reader of the output will see
  QuantizedWeight codes;  ///< the same, if quantized
  int64_t zeros = 0;      ///< of `stored`
  solver::PruneResult result;
};

/// Prunes one layer and leaves in the block what `stored` holds, so that what is measured from here on is
/// what lies on the disk.
/// @throws Error(numeric) when the pruned weights do not fit into the checkpoint's dtype.
PrunedLayer prune_layer_(models::Linear& layer, const hessian::HessianFactor& factor,
                         const solver::SolverOptions& options, const models::Model& model);

}  // namespace prune::pipeline
