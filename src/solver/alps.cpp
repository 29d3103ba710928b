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

// rho starts at a fraction of the curvature that the loss has along a single weight once all others make up for its
// change, 1 / (H^-1)_jj, harmonic mean over the columns: from about there on masks begin to change. A smaller start
// spends steps without an exchange; a larger one fixes masks too early, most of all behind attention, where columns
// are correlated. Every third step rho grows, faster the larger the share of kept weights exchanged since (the
// authors' numbers); the search ends once fewer than 3 in 1000 were. scripts/bench/RESULTS.md,
// "ALPS", has what each choice costs.
constexpr double kFirstRho = 0.6;
constexpr double kLeastRho = 0.01;    // a smaller start gains nothing
constexpr double kLeastRidge = 1e-3;  // H alone may be singular in float32
constexpr int64_t kSteps = 300;
constexpr int64_t kStepsPerRho = 3;
constexpr int64_t kEarliestEnd = 18;  // while rho is small, nothing may be exchanged yet
constexpr double kFewExchanged = 3e-3;

double rho_growth(double exchanged) {
  if (exchanged > 0.05) return 1.3;
  return exchanged > 0.0025 ? 1.2 : 1.1;
}

// (matrix + ridge I)^-1. @param matrix [cols, cols], symmetric and positive definite
Tensor inverse_with(const Tensor& matrix, double ridge) {
  Tensor root = matrix.clone();
  root.diagonal().add_(ridge);
  Tensor info = at::empty({}, root.options().dtype(at::kInt));
  at::linalg_cholesky_ex_out(root, info, root);
  if (info.item<int>() != 0) {
    throw Error(ErrorKind::kNumeric,
                "the Hessian is not positive definite in float32; a larger --percdamp helps");
  }
  return at::cholesky_inverse(root);
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
  const Tensor hessian = (factor.hessian / scale).div_(scale.unsqueeze(1));
  // To the search, weights of dead columns are zeros, so they are pruned first.
  const Tensor live = factor.dead.logical_not().to(at::kFloat);
  Tensor goal = weight * (scale * live);
  const Tensor target = kernels::affine(goal, hessian);  // W0 H
  result.mask = smallest(goal, result.zeros, options, kept_zeros);
  goal.mul_(result.mask.logical_not());
  Tensor mask_before = result.mask;
  const double kept = static_cast<double>(std::max<int64_t>(1, weight.numel() - result.zeros));

  // A step: W = (W0 H + rho D - V) (H + rho I)^-1; goal = W + V / rho; D = the goal's largest
  // weights; V += rho (W - D). Hence D equals the goal where it is kept, and V equals rho * goal
  // where it is pruned.
  const auto columns = static_cast<double>(hessian.size(0));
  const double curvature = columns / inverse_with(hessian, kLeastRidge).trace().item<double>();
  double rho = std::max(kLeastRho, kFirstRho * curvature);
  double rho_before = rho;
  Tensor inverse = inverse_with(hessian, rho);
  while (result.admm_steps < kSteps) {
    // W0 H + rho D - V. On the CPU multiplying by 0 and 1 takes a tenth of masked_fill's time.
    const Tensor gone = result.mask.to(at::kFloat);
    const Tensor pull = at::mul(goal, rho).addcmul_(goal, gone, -rho - rho_before).add_(target);
    goal = kernels::affine(pull, inverse).addcmul_(goal, gone, rho_before / rho).mul_(live);
    rho_before = rho;
    result.mask = smallest(goal, result.zeros, options, kept_zeros);
    if (++result.admm_steps % kStepsPerRho != 0) continue;

    const Tensor left = result.mask.logical_and(mask_before.logical_not());
    const double exchanged = static_cast<double>(left.sum().item<int64_t>()) / kept;
    mask_before = result.mask;
    if (result.admm_steps >= kEarliestEnd && exchanged < kFewExchanged) break;
    rho *= rho_growth(exchanged);
    inverse = inverse_with(hessian, rho);
  }
  if (kept_zeros.any()) result.zeros = result.mask.sum().item<int64_t>();
  weight.copy_(at::where(factor.dead, weight, goal / scale).masked_fill_(result.mask, 0.0));
  return result;
}

}  // namespace prune::solver::detail
