#include <prune/hessian/energies.h>

namespace prune::hessian {

void OutputEnergy::add(const Tensor& y, const Tensor& bias) {
  const Tensor without_bias = bias.defined() ? y - bias : y;
  const Tensor norm = at::linalg_vector_norm(without_bias, 2, {}, false, at::kFloat);
  squares_.push_back(norm.to(at::kDouble).square());
}

double OutputEnergy::of(const Tensor& batches, int64_t samples) {
  const auto squares = batches.accessor<double, 1>();
  double sum = 0.0;
  for (int64_t i = 0; i < squares.size(0); ++i) sum += squares[i];
  return sum * 2.0 / static_cast<double>(samples);
}

double output_energy(const Tensor& weight, const HessianFactor& factor) {
  const Tensor w = weight.to(at::kFloat).masked_fill(factor.dead.unsqueeze(0), 0.0);
  const Tensor damped = at::matmul(w, factor.hessian).mul_(w).sum(at::kDouble);
  return (damped - factor.damp * w.square().sum(at::kDouble)).clamp_min(0.0).item<double>();
}

Tensor column_norms(const HessianFactor& factor) {
  return (factor.hessian.diagonal() - factor.damp)
      .clamp_min_(0.0)
      .masked_fill_(factor.dead, 0.0)
      .sqrt_();
}

}  // namespace prune::hessian
