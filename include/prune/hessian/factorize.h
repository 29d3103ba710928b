#pragma once

#include <prune/hessian/factor.h>

namespace prune::hessian {

/// Factors H + damp I = V Vᵀ, V upper triangular, damp = percdamp * mean(diag H), by one Cholesky
/// factorisation of H with rows and columns reversed: src/hessian/README.md, "Factor". Columns that
/// never fired (H_jj = 0) get H_jj = 1 and are marked in `dead`. If the factorisation fails, damp
/// is multiplied by 10, at most three times, each with a warning in the log.
/// @param hessian [cols, cols] float32, symmetric. It becomes H + damp I, and the factor keeps it:
///        one product with it replaces two with V, and factorising needs more memory than this
///        anyway.
/// @param act_order permutes the columns so that H_jj descends, as OPTQ's act_order does: the
///        columns rounded first have the most columns left to compensate their errors.
/// @throws Error(numeric) with the damp if the diagonal of H is not finite or the last attempt
///         fails.
HessianFactor factorize_(Tensor& hessian, double percdamp, bool act_order = false);

}  // namespace prune::hessian
