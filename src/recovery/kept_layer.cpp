#include <prune/kernels/kept.h>
#include <prune/recovery/kept_layer.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace prune::recovery {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.95;
constexpr double kEps = 1e-8;

}  // namespace

KeptLayer::KeptLayer(Tensor bits, std::vector<int64_t> shape, Tensor states)
    : bits_(std::move(bits)), shape_(std::move(shape)), states_(std::move(states)) {}

void KeptLayer::set(const Tensor& weight) {
  states_[0].copy_(kernels::gather_kept(bits_, weight));
  states_.slice(0, 1).zero_();
}

Tensor KeptLayer::weight(at::ScalarType dtype) const {
  return kernels::scatter_kept(bits_, states_[0].to(bits_.device()), shape_, dtype);
}

void KeptLayer::step_(const Tensor& gradient, const AdamStep& step) {
  Tensor states = states_.to(gradient.device());
  Tensor weights = states[0];
  Tensor first = states[1];
  Tensor second = states[2];
  first.lerp_(gradient, 1.0 - kBeta1);
  second.mul_(kBeta2).addcmul_(gradient, gradient, 1.0 - kBeta2);
  const auto number = static_cast<double>(step.number);
  const double first_correction = 1.0 - std::pow(kBeta1, number);
  const double second_correction = 1.0 - std::pow(kBeta2, number);
  // sqrt of the corrected second moment
  Tensor scale = second.sqrt().div_(std::sqrt(second_correction));
  const Tensor relative = gradient / scale.clamp_min(kEps);
  const double rms = std::sqrt(relative.square().mean().item<double>());
  const double rate = step.rate / std::max(1.0, rms);
  weights.addcdiv_(first, scale.add_(kEps), -rate / first_correction);
  // A kept weight is never zero, so that the mask can be read from the written layer.
  weights.masked_fill_(weights.eq(0), std::numeric_limits<float>::min());
  if (!states.is_same(states_)) states_.copy_(states);
}

}  // namespace prune::recovery
