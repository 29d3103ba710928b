#include "calibrate_block.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/hessian/factorize.h>

#include <optional>

namespace prune::pipeline {
namespace {

void check_damp(const std::string& where, const hessian::HessianFactor& factor, bool strict,
                std::vector<report::Fallback>& fallbacks) {
  if (factor.damp_raises == 0) return;
  const std::string what = fmt::format("damp raised {} times to {:.3e} for the factorisation",
                                       factor.damp_raises, factor.damp);
  if (strict) throw Error(ErrorKind::kNumeric, what + "; refused by --strict");
  report::add_fallback_(fallbacks, {.where = where, .what = what});
}

}  // namespace

BlockStatistics::BlockStatistics(models::Block& block, const std::set<std::string>& chosen,
                                 at::Device device) {
  for (const models::Linear& layer : block.linears()) {
    if (!chosen.contains(layer.name)) continue;
    accumulators_.try_emplace(layer.input, layer.weight.size(1), device);
  }
}

void BlockStatistics::on_input(int64_t input, const Tensor& x) {
  const auto found = accumulators_.find(input);
  if (found == accumulators_.end()) return;
  found->second.add(x);
  samples_ = found->second.samples();
}

std::vector<int64_t> BlockStatistics::inputs() const {
  std::vector<int64_t> result;
  for (const auto& [input, accumulator] : accumulators_) result.push_back(input);
  return result;
}

Tensor BlockStatistics::take_hessian(int64_t input) { return accumulators_.at(input).finish(); }

BlockEstimates::BlockEstimates(models::Block& block, const std::set<std::string>& chosen,
                               at::Device device)
    : BlockStatistics(block, chosen, device) {
  for (const models::Linear& layer : block.linears()) {
    if (!chosen.contains(layer.name)) continue;
    squares_[layer.name] = at::zeros({}, at::TensorOptions(device).dtype(at::kDouble));
  }
}

void BlockEstimates::on_output(const models::Linear& layer, const Tensor& y) {
  const auto found = squares_.find(layer.name);
  if (found == squares_.end()) return;
  const Tensor without_bias = layer.bias.defined() ? y - layer.bias : y;
  const Tensor norm = at::linalg_vector_norm(without_bias, 2, {}, false, at::kFloat);
  found->second.add_(norm.to(at::kDouble).square());
}

double BlockEstimates::energy(const std::string& layer) const {
  return squares_.at(layer).item<double>() * 2.0 / static_cast<double>(samples_);
}

void for_each_factored_layer(models::Block& block, BlockStatistics& statistics,
                             const std::set<std::string>& chosen, const PruneOptions& options,
                             const std::string& phase, std::vector<report::Fallback>& fallbacks,
                             Progress& progress, const VisitLayer& visit) {
  for (const int64_t input : statistics.inputs()) {
    std::optional<hessian::HessianFactor> factor;
    for (models::Linear& layer : block.linears()) {
      if (layer.input != input || !chosen.contains(layer.name)) continue;
      throw_if_interrupted();
      progress.detail(layer.name);
      try {
        if (!factor) {
          Tensor hessian = statistics.take_hessian(input);
          factor = hessian::factorize_(hessian, options.percdamp);
        }
        check_damp(layer.name + phase, *factor, options.strict, fallbacks);
        visit(layer, *factor);
      } catch (Error& error) {
        if (error.kind() == ErrorKind::kNumeric) error.in(layer.name);
        throw;
      }
    }
  }
}

}  // namespace prune::pipeline
