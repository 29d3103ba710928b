#include <prune/loss/outliers.h>

namespace prune::loss {
namespace {

constexpr double kTimesMean = 5.0;

Tensor scores_of(const WeightAndInput& layer) {
  return layer.weight.to(at::kFloat).abs().mul_(layer.input_norm);
}

}  // namespace

double outlier_share(const std::vector<WeightAndInput>& layers) {
  double sum = 0.0;
  int64_t weights = 0;
  for (const WeightAndInput& layer : layers) {
    sum += scores_of(layer).sum(at::kDouble).item<double>();
    weights += layer.weight.numel();
  }
  if (weights == 0) return 0.0;
  const double limit = kTimesMean * sum / static_cast<double>(weights);
  int64_t outliers = 0;
  for (const WeightAndInput& layer : layers) {
    outliers += scores_of(layer).gt(limit).sum().item<int64_t>();
  }
  return static_cast<double>(outliers) / static_cast<double>(weights);
}

}  // namespace prune::loss
