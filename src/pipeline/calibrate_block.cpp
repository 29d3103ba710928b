#include "calibrate_block.h"

namespace prune::pipeline {

BlockStatistics::BlockStatistics(models::Block& block, const std::set<std::string>& chosen,
                                 at::Device device) {
  for (const models::Linear& layer : block.linears()) {
    if (!chosen.contains(layer.name)) continue;
    accumulators_.try_emplace(layer.input, layer.weight.size(1), device);
    squares_[layer.name] = at::zeros({}, at::TensorOptions(device).dtype(at::kDouble));
  }
}

void BlockStatistics::on_input(int64_t input, const Tensor& x) {
  const auto found = accumulators_.find(input);
  if (found == accumulators_.end()) return;
  found->second.add(x);
  samples_ = found->second.samples();
}

void BlockStatistics::on_output(const models::Linear& layer, const Tensor& y) {
  const auto found = squares_.find(layer.name);
  if (found == squares_.end()) return;
  const Tensor without_bias = layer.bias.defined() ? y - layer.bias : y;
  const Tensor norm = at::linalg_vector_norm(without_bias, 2, {}, false, at::kFloat);
  found->second.add_(norm.to(at::kDouble).square());
}

std::vector<int64_t> BlockStatistics::inputs() const {
  std::vector<int64_t> result;
  for (const auto& [input, accumulator] : accumulators_) result.push_back(input);
  return result;
}

Tensor BlockStatistics::take_hessian(int64_t input) { return accumulators_.at(input).finish(); }

double BlockStatistics::energy(const std::string& layer) const {
  return squares_.at(layer).item<double>() * 2.0 / static_cast<double>(samples_);
}

}  // namespace prune::pipeline
