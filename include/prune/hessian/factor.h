#pragma once

#include <prune/core/tensor.h>

namespace prune::hessian {

/// The damped Hessian of one site, factored for the solver: H + damp I = V Vᵀ, V upper triangular.
/// U = V⁻¹ is SparseGPT's "Hinv", the upper Cholesky factor of the inverse, so U_jj = 1 / V_jj. The
/// inverse itself is never formed: src/hessian/README.md, "Factor".
struct HessianFactor {
  Tensor v;  ///< [cols, cols] float32, upper triangular with zeros below; columns are contiguous
  Tensor hessian;  ///< [cols, cols] float32, H + damp I itself
  Tensor dead;     ///< [cols] bool: columns whose activations are all zero
  /// [cols] int64: column j of v, hessian and dead is column permutation[j] of the site. Undefined:
  /// nothing is permuted.
  Tensor permutation = {};
  double damp = 0.0;    ///< the number added to the diagonal
  int damp_raises = 0;  ///< how often damp was raised before the factorisation succeeded

  int64_t cols() const { return v.size(0); }
};

}  // namespace prune::hessian
