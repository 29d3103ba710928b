#pragma once

#include <prune/core/tensor.h>

namespace prune::hessian {

/// The damped Hessian of one layer input in the form the solver eats: H + damp I = V Vᵀ with V upper
/// triangular. U = V⁻¹ is SparseGPT's "Hinv" (the upper Cholesky factor of the inverse), so
/// U_jj = 1 / V_jj; the inverse itself is never formed (ENGINEERING §2.2).
struct HessianFactor {
  Tensor v;  ///< [cols, cols] float32, upper triangular, zeros below; its columns are contiguous
  Tensor hessian;  ///< [cols, cols] float32, H + damp I itself
  Tensor dead;     ///< [cols] bool: inputs that never fired
  Tensor permutation =
      {};  ///< [cols] int64: column j here is column permutation[j] of the site; undefined: j
  double damp = 0.0;  ///< absolute value that was added to the diagonal
  int damp_raises =
      0;  ///< how often damp was multiplied by 10 until the factorisation went through

  int64_t cols() const { return v.size(0); }
};

}  // namespace prune::hessian
