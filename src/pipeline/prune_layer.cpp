#include "prune_layer.h"

#include <utility>

namespace prune::pipeline {
namespace {

// A GPU copies into pinned memory at the speed of the bus; torch keeps it for the next layer.
Tensor to_host(const Tensor& value) {
  if (value.is_cpu()) return value;
  Tensor host = at::empty(value.sizes(), value.options().device(at::kCPU).pinned_memory(true));
  host.copy_(value);
  return host;
}

QuantizedWeight on_cpu(const QuantizedWeight& weight) {
  return {.codes = weight.codes.cpu(), .scale = weight.scale.cpu(), .zero = weight.zero.cpu()};
}

}  // namespace

PrunedLayer prune_layer_(models::Linear& layer, const hessian::HessianFactor& factor,
                         const solver::SolverOptions& options, const models::Model& model) {
  solver::StoredResult solved =
      solver::prune_stored_(layer.weight, factor, options, model.stored_dtype());
  layer.weight = solved.stored.to(model.dtype());
  return {.stored = to_host(solved.stored),
          .codes = options.quantization.on() ? on_cpu(solved.codes) : QuantizedWeight{},
          .zeros = solved.zeros,
          .result = std::move(solved.result)};
}

}  // namespace prune::pipeline
