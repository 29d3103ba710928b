#include "alps.h"

#include <ATen/Context.h>
#include <prune/core/error.h>
#include <prune/core/product.h>

#include <algorithm>

#include "check_inputs.h"
#include "prune_columns_detail.h"

namespace prune::solver::detail {
namespace {

// With diag H = 1 one schedule of rho serves every layer. It is looked at every third step and grows the
// faster, the more of the kept weights were exchanged since (the authors' numbers); from step 30 on, less
// than 3 in 20000 exchanged is the end. The authors start at 0.1; from 0.01 it takes twice the steps and
// loses 11 % less on the layers of opt-books-6m, and a still smaller start gains nothing.
constexpr double kFirstRho = 0.01;
constexpr int64_t kSteps = 300;
constexpr int64_t kStepsPerRho = 3;
constexpr int64_t kEarliestEnd = 30;
constexpr double kFewMoved = 1.5e-4;

double rho_growth(double moved) {
  if (moved > 0.05) return 1.3;
  return moved > 0.0025 ? 1.2 : 1.1;
}

// H scaled to a unit diagonal, as Q diag(values) Qᵀ.
struct Eigen {
  Tensor values;
  Tensor q;
};

Eigen eigen_of(const Tensor& hessian, const Tensor& scale) {
  try {
    const auto [values, q] = at::linalg_eigh((hessian / scale).div_(scale.unsqueeze(1)));
    return {values, q};
  } catch (const c10::LinAlgError&) {
    throw Error(ErrorKind::kNumeric, "the eigendecomposition of the Hessian does not converge");
  }
}

// The smallest by magnitude: `zeros` of all, or N of every M.
Tensor smallest(const Tensor& x, int64_t zeros, const SolverOptions& options) {
  const bool n_of_m = options.prunem != 0;
  const Tensor groups = x.abs().view({-1, n_of_m ? options.prunem : x.numel()});
  const Tensor index = std::get<1>(groups.topk(n_of_m ? options.prunen : zeros, /*dim=*/1,
                                               /*largest=*/false, /*sorted=*/false));
  return at::zeros_like(groups, at::kBool).scatter_(1, index, true).view(x.sizes());
}

}  // namespace

PruneResult alps_(Tensor& weight, const hessian::HessianFactor& factor,
                  const SolverOptions& options) {
  check_inputs(weight, factor, options);
  const at::NoTF32Guard no_tf32;
  PruneResult result;
  result.zeros = options.prunem != 0
                     ? weight.numel() / options.prunem * options.prunen
                     : block_zeros(weight.size(0), 0, weight.size(1), options.sparsity);

  result.mask = at::zeros_like(weight, at::kBool);
  if (result.zeros == 0) return result;

  const Tensor scale = factor.hessian.diagonal().sqrt();
  const Eigen eigen = eigen_of(factor.hessian, scale);
  const Tensor q = eigen.q.contiguous();
  const Tensor q_t = eigen.q.t().contiguous();
  // Weights of dead inputs are nothing to the search: the first to go.
  const Tensor dense = (weight * scale).masked_fill_(factor.dead, 0.0);
  const Tensor target = affine(dense, q_t).mul_(eigen.values);  // W0 H, in H's eigenbasis
  result.mask = smallest(dense, result.zeros, options);
  Tensor sparse = dense.masked_fill(result.mask, 0.0);  // D
  Tensor dual = at::zeros_like(dense);                  // V
  Tensor mask_before = result.mask;
  const double kept = static_cast<double>(std::max<int64_t>(1, weight.numel() - result.zeros));

  double rho = kFirstRho;
  while (result.admm_steps < kSteps) {
    const Tensor pull = affine(at::sub(rho * sparse, dual), q_t).add_(target);
    const Tensor ridge = affine(pull.div_(eigen.values + rho), q);  // W
    const Tensor goal = (ridge + dual / rho).masked_fill_(factor.dead, 0.0);
    result.mask = smallest(goal, result.zeros, options);
    sparse = goal.masked_fill(result.mask, 0.0);
    dual.add_(ridge - sparse, rho);
    if (++result.admm_steps % kStepsPerRho != 0) continue;

    const Tensor left = result.mask.logical_and(mask_before.logical_not());
    const double moved = static_cast<double>(left.sum().item<int64_t>()) / kept;
    mask_before = result.mask;
    if (result.admm_steps >= kEarliestEnd && moved < kFewMoved) break;
    rho *= rho_growth(moved);
  }
  const Tensor live = at::where(factor.dead, weight, sparse / scale);
  weight.copy_(live.masked_fill(result.mask, 0.0));
  return result;
}

}  // namespace prune::solver::detail
