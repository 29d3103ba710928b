#include "alps.h"

#include <ATen/Context.h>
#include <prune/core/error.h>
#include <prune/kernels/product.h>

#include <algorithm>
#include <bit>

#include "check_inputs.h"
#include "kth_score.h"
#include "prune_columns_detail.h"

namespace prune::solver::detail {
namespace {

// With diag H = 1 one sequence of rho serves every layer. Every third step rho grows, faster the
// larger the share of kept weights exchanged since (the authors' numbers); from step 30 on the
// search ends once fewer than 3 in 20000 were exchanged. The authors start at 0.1. A start of 0.01
// takes twice the steps and loses 11 % less on the layers of opt-books-6m; a smaller one gains
// nothing.
constexpr double kFirstRho = 0.01;
constexpr int64_t kSteps = 300;
constexpr int64_t kStepsPerRho = 3;
constexpr int64_t kEarliestEnd = 30;
constexpr double kFewExchanged = 1.5e-4;

double rho_growth(double exchanged) {
  if (exchanged > 0.05) return 1.3;
  return exchanged > 0.0025 ? 1.2 : 1.1;
}

// H scaled to a unit diagonal = Q diag(values) Qᵀ.
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

// Marks the `count` smallest elements of each row. @return bool, shape of x
Tensor smallest_of_rows(const Tensor& x, int64_t count) {
  const Tensor index = std::get<1>(x.topk(count, /*dim=*/1, /*largest=*/false, /*sorted=*/false));
  return at::zeros_like(x, at::kBool).scatter_(1, index, true);
}

// Marks the smallest magnitudes: `zeros` of the matrix, or N of every M.
Tensor smallest_alone(const Tensor& x, int64_t zeros, const SolverOptions& options) {
  if (options.prunem != 0) {
    return smallest_of_rows(x.abs().view({-1, options.prunem}), options.prunen).view(x.sizes());
  }
  if (x.is_cuda()) return smallest_of_rows(x.abs().view({1, -1}), zeros).view(x.sizes());
  // On the CPU topk runs on one thread and would take as long as the products.
  const float scale = 1.0F;
  const Tensor flat = x.reshape({-1});
  const ScoreThreshold last =
      find_kth_score(flat.const_data_ptr<float>(), &scale, 1, flat.numel(), zeros);
  const auto score = std::bit_cast<float>(last.score_bits);
  const Tensor squares = flat.square();
  const int64_t ties_end = int64_t{last.index} + 1;
  return at::cat({squares.slice(0, 0, ties_end).le(score), squares.slice(0, ties_end).lt(score)})
      .view(x.sizes());
}

// As smallest_alone(), with all of the zeros that stay.
Tensor smallest(const Tensor& x, int64_t zeros, const SolverOptions& options,
                const KeptZeros& kept) {
  if (!kept.any()) return smallest_alone(x, zeros, options);
  return smallest_alone(x.masked_fill(kept.mask(), 0.0), zeros, options).logical_or_(kept.mask());
}

}  // namespace

PruneResult alps_(Tensor& weight, const hessian::HessianFactor& factor,
                  const SolverOptions& options) {
  check_inputs(weight, factor, options);
  const at::NoTF32Guard no_tf32;
  PruneResult result;
  const KeptZeros kept_zeros(weight, options);
  result.zeros = options.prunem != 0
                     ? weight.numel() / options.prunem * options.prunen
                     : std::max(block_zeros(weight.size(0), 0, weight.size(1), options.sparsity),
                                kept_zeros.count(0, weight.size(1)));

  result.mask = at::zeros_like(weight, at::kBool);
  if (result.zeros == 0) return result;

  const Tensor scale = factor.hessian.diagonal().sqrt();
  const Eigen eigen = eigen_of(factor.hessian, scale);
  const Tensor q = eigen.q.contiguous();
  const Tensor q_t = eigen.q.t().contiguous();
  // To the search, weights of dead columns are zeros, so they are pruned first.
  const Tensor live = factor.dead.logical_not().to(at::kFloat);
  Tensor goal = weight * (scale * live);
  const Tensor target = kernels::affine(goal, q_t).mul_(eigen.values);  // W0 H, in H's eigenbasis
  result.mask = smallest(goal, result.zeros, options, kept_zeros);
  goal.mul_(result.mask.logical_not());
  Tensor mask_before = result.mask;
  const double kept = static_cast<double>(std::max<int64_t>(1, weight.numel() - result.zeros));

  // A step: W = (W0 H + rho D - V) (H + rho I)^-1; goal = W + V / rho; D = the goal's largest
  // weights; V += rho (W - D). Hence D equals the goal where it is kept, and V equals rho * goal
  // where it is pruned.
  double rho = kFirstRho;
  double rho_before = rho;
  while (result.admm_steps < kSteps) {
    // known = rho D - V. On the CPU multiplying by 0 and 1 takes a tenth of masked_fill's time.
    const Tensor gone = result.mask.to(at::kFloat);
    const Tensor known = at::mul(goal, rho).addcmul_(goal, gone, -rho - rho_before);
    const Tensor pull = kernels::affine(known, q_t).add_(target).div_(eigen.values + rho);
    goal = kernels::affine(pull, q).addcmul_(goal, gone, rho_before / rho).mul_(live);
    rho_before = rho;
    result.mask = smallest(goal, result.zeros, options, kept_zeros);
    if (++result.admm_steps % kStepsPerRho != 0) continue;

    const Tensor left = result.mask.logical_and(mask_before.logical_not());
    const double exchanged = static_cast<double>(left.sum().item<int64_t>()) / kept;
    mask_before = result.mask;
    if (result.admm_steps >= kEarliestEnd && exchanged < kFewExchanged) break;
    rho *= rho_growth(exchanged);
  }
  if (kept_zeros.any()) result.zeros = result.mask.sum().item<int64_t>();
  weight.copy_(at::where(factor.dead, weight, goal / scale).masked_fill_(result.mask, 0.0));
  return result;
}

}  // namespace prune::solver::detail
