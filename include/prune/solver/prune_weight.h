#pragma once

#include <prune/core/quantization.h>
#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver {

/// Prunes a layer with the algorithm of `options`, then refines the kept weights.
/// @param weight  [rows, cols] float32 contiguous, in the site's columns; changed in place.
/// @param factor  of the layer's site, same device. If it is permuted (act order), the columns are
///        pruned in its permutation; weight, mask, scales and zero points are in the
///        site's columns all the same.
/// @throws Error(usage) for an N:M pattern with a permuted factor (N of M neighbours would be
///         neighbours of the permutation), for quantization with ALPS or refine.
/// Other errors as prune_columns_.
PruneResult prune_weight_(Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options);

/// A pruned layer as a checkpoint stores it.
struct StoredResult {
  Tensor stored;               ///< [rows, cols] in the stored dtype, on the weight's device
  QuantizedWeight codes = {};  ///< `stored` as codes, same device; undefined without quantization
  int64_t zeros = 0;           ///< number of zeros in `stored`
  PruneResult result = {};
};

/// Prunes a copy of `weight` as prune_weight_ does and rounds the result to `stored_dtype`. A kept
/// weight that would round to zero becomes the dtype's smallest positive number, so that the number
/// of zeros is exact. With quantization `stored` is what the codes stand for; there a kept weight
/// may be zero.
/// @param weight  [rows, cols] of any float dtype.
/// @param options its scale_dtype is ignored: scales are stored in `stored_dtype`.
/// @throws Error(numeric) if a pruned weight does not fit into `stored_dtype`.
StoredResult prune_stored_(const Tensor& weight, const hessian::HessianFactor& factor,
                           const SolverOptions& options, at::ScalarType stored_dtype);

/// Rounds weights to the dtype in which they are stored; one that is not zero stays so, as in prune_stored_.
/// @throws Error(numeric) if a weight does not fit into the dtype
Tensor round_to(at::ScalarType dtype, const Tensor& weight);

}  // namespace prune::solver
