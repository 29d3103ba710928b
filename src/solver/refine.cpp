#include "refine.h"

#include <ATen/Context.h>
#include <prune/core/product.h>

#include <cmath>

namespace prune::solver::detail {
namespace {

constexpr double kTolerance = 1e-4;

// A row that has converged has 0 / 0 for its step; it stays where it is.
Tensor ratio(const Tensor& numerator, const Tensor& denominator) {
  return at::where(denominator.gt(0), numerator / denominator, 0.0);
}

Tensor row_sums(const Tensor& a, const Tensor& b) { return (a * b).sum(1, /*keepdim=*/true); }

double total(const Tensor& rows) { return rows.sum(at::kDouble).item<double>(); }

double loss_of(const Tensor& weight, const Tensor& dense, const hessian::HessianFactor& factor) {
  const Tensor change = (weight - dense).masked_fill_(factor.dead, 0.0);
  return total(row_sums(change, product(change, factor.hessian))) / 2;
}

}  // namespace

void refine_(Tensor& weight, const Tensor& dense, const hessian::HessianFactor& factor,
             int64_t steps, PruneResult& result) {
  // A gradient with ten bits would stop falling long before the tolerance.
  const at::NoTF32Guard no_tf32;
  const Tensor& hessian = factor.hessian;
  const Tensor preconditioner = hessian.diagonal().reciprocal();
  Tensor gradient = product(dense - weight, hessian).masked_fill_(result.mask, 0.0);
  Tensor direction = gradient * preconditioner;
  Tensor squares = row_sums(gradient, direction);
  const double first = total(squares);
  double now = first;
  while (result.refine_steps < steps && now > kTolerance * kTolerance * first) {
    const Tensor moved = product(direction, hessian);
    const Tensor length = ratio(squares, row_sums(direction, moved));
    weight.addcmul_(direction, length);
    gradient.addcmul_(moved, length, -1).masked_fill_(result.mask, 0.0);
    const Tensor conditioned = gradient * preconditioner;
    const Tensor next = row_sums(gradient, conditioned);
    direction.mul_(ratio(next, squares)).add_(conditioned);
    squares = next;
    now = total(squares);
    ++result.refine_steps;
  }
  result.refine_residual = first > 0 ? std::sqrt(now / first) : 0.0;
  result.loss = loss_of(weight, dense, factor);
}

}  // namespace prune::solver::detail
