#pragma once

#include <prune/hessian/factor.h>

namespace prune::hessian {

/// Factors H + damp I = V Vᵀ, V upper triangular, damp = percdamp * mean(diag H): one Cholesky
/// factorisation of the index-reversed H (ENGINEERING §2.2). Inputs that never fired (H_jj = 0) get
/// H_jj = 1 and stand in `dead`. If the factorisation fails, damp is multiplied by 10 and it is tried
/// again, at most three times, each time with a warning in the log (DESIGN §4.2).
/// @param hessian [cols, cols] float32, symmetric; it becomes H + damp I, which the factor keeps: that
/// takes less memory than the factorisation itself, and one product with it does what V Vᵀ does in two.
/// @param act_order puts the inputs with the largest H_jj first, as OPTQ's act_order: what is rounded first
/// has the most columns left to move its errors onto
/// @throws Error(numeric) when H is not finite or the last attempt fails too, with the damp tried.
HessianFactor factorize_(Tensor& hessian, double percdamp, bool act_order = false);

}  // namespace prune::hessian
