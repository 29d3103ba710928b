#include "refine.h"

#include <ATen/Context.h>
#include <prune/kernels/product.h>

#include <algorithm>
#include <cmath>

namespace prune::solver::detail {
namespace {

constexpr double kTolerance = 1e-4;
// Weights refined at once on the CPU, so that a step's tensors have this size and not the layer's.
constexpr int64_t kWeightsAtOnce = int64_t{1} << 20;

// The step of a converged row would be 0 / 0; it becomes 0.
Tensor ratio(const Tensor& numerator, const Tensor& denominator) {
  return at::where(denominator.gt(0), numerator / denominator, 0.0);
}

Tensor row_sums(const Tensor& a, const Tensor& b) { return (a * b).sum(1, /*keepdim=*/true); }

double total(const Tensor& rows) { return rows.sum(at::kDouble).item<double>(); }

struct Progress {
  // Squared preconditioned norm of the gradient over all rows, before and after the steps.
  double first = 0.0;
  double now = 0.0;
  int64_t steps = 0;
  double loss = 0.0;
};

// Refines some rows of the layer; rows are independent.
Progress refine_rows_(Tensor weight, const Tensor& dense, const Tensor& mask,
                      const hessian::HessianFactor& factor, int64_t steps) {
  const Tensor& hessian = factor.hessian;
  const Tensor preconditioner = hessian.diagonal().reciprocal();
  // On the CPU a product with zeros and ones takes a tenth of masked_fill's time.
  const Tensor kept = mask.logical_not().to(at::kFloat);
  // affine() multiplies by Hᵀ, which equals H.
  Tensor gradient = kernels::affine(dense - weight, hessian).mul_(kept);
  Tensor direction = gradient * preconditioner;
  Tensor squares = row_sums(gradient, direction);
  Progress progress{.first = total(squares)};
  progress.now = progress.first;
  while (progress.steps < steps && progress.now > kTolerance * kTolerance * progress.first) {
    const Tensor image = kernels::affine(direction, hessian);
    const Tensor length = ratio(squares, row_sums(direction, image));
    weight.addcmul_(direction, length);
    gradient.addcmul_(image, length, -1).mul_(kept);
    const Tensor conditioned = gradient * preconditioner;
    const Tensor next = row_sums(gradient, conditioned);
    direction.mul_(ratio(next, squares)).add_(conditioned);
    squares = next;
    progress.now = total(squares);
    ++progress.steps;
  }
  const Tensor change = (weight - dense).masked_fill_(factor.dead, 0.0);
  progress.loss = total(row_sums(change, kernels::affine(change, hessian))) / 2;
  return progress;
}

}  // namespace

void refine_(Tensor& weight, const Tensor& dense, const hessian::HessianFactor& factor,
             int64_t steps, PruneResult& result) {
  // TF32's ten bits would stop the gradient from falling long before the tolerance.
  const at::NoTF32Guard no_tf32;
  const int64_t rows = weight.size(0);
  const int64_t at_once =
      weight.is_cpu() ? std::max<int64_t>(1, kWeightsAtOnce / weight.size(1)) : rows;
  Progress all;
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    const int64_t end = std::min(begin + at_once, rows);
    const Progress some = refine_rows_(weight.slice(0, begin, end), dense.slice(0, begin, end),
                                       result.mask.slice(0, begin, end), factor, steps);
    all.first += some.first;
    all.now += some.now;
    all.loss += some.loss;
    all.steps = std::max(all.steps, some.steps);
  }
  result.refine_steps = all.steps;
  result.refine_residual = all.first > 0 ? std::sqrt(all.now / all.first) : 0.0;
  result.loss = all.loss;
}

}  // namespace prune::solver::detail
