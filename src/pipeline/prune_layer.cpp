#include "prune_layer.h"

#include <prune/core/error.h>

namespace prune::pipeline {
namespace {

// A kept weight that rounds to zero becomes the smallest number of the dtype instead: the number of zeros
// was promised. Refined weights may be that small.
Tensor rounded(const Tensor& weight, at::ScalarType dtype) {
  Tensor stored = weight.to(dtype);
  if (stored.element_size() == 2) {  // of float16 and bfloat16 it is the bit pattern 1
    const Tensor lost = stored.eq(0).logical_and_(weight.ne(0));
    stored.view(at::kShort).masked_fill_(lost, 1);
  }
  return stored;
}

// The codes of a weight that the solver has rounded to its grids.
checkpoint::QuantizedWeight quantized(const Tensor& weight, const solver::PruneResult& result,
                                      at::ScalarType dtype) {
  const int64_t group_size = weight.size(1) / result.scale.size(1);
  // The quotient is a whole number but for float32's rounding.
  const Tensor steps = weight.unflatten(1, {-1, group_size}).div(result.scale.unsqueeze(2)).round();
  return {.codes = steps.add(result.zero.unsqueeze(2)).view(weight.sizes()).to(at::kChar),
          .scale = result.scale.to(dtype),
          .zero = result.zero.to(at::kChar)};
}

// A GPU copies into pinned memory at the speed of the bus; torch keeps it for the next layer.
Tensor to_host(const Tensor& value) {
  if (value.is_cpu()) return value;
  Tensor host = at::empty(value.sizes(), value.options().device(at::kCPU).pinned_memory(true));
  host.copy_(value);
  return host;
}

checkpoint::QuantizedWeight on_cpu(const checkpoint::QuantizedWeight& weight) {
  return {.codes = weight.codes.cpu(), .scale = weight.scale.cpu(), .zero = weight.zero.cpu()};
}

}  // namespace

PrunedLayer prune_layer_(models::Linear& layer, const hessian::HessianFactor& factor,
                         const solver::SolverOptions& options, const models::Model& model) {
  Tensor weight = layer.weight.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  solver::SolverOptions how = options;
  how.scale_dtype = model.stored_dtype();
  PrunedLayer pruned;
  pruned.result = solver::prune_weight_(weight, factor, how);
  Tensor stored;
  if (how.quantization.on()) {
    const checkpoint::QuantizedWeight codes =
        quantized(weight, pruned.result, model.stored_dtype());
    stored = checkpoint::dequantize(codes);
    pruned.codes = on_cpu(codes);
  } else {
    stored = rounded(weight, model.stored_dtype());
  }
  if (!at::isfinite(stored).all().item<bool>()) {
    throw Error(ErrorKind::kNumeric, fmt::format("the pruned weights do not fit into {}",
                                                 dtype_name(model.stored_dtype())));
  }
  pruned.zeros = stored.numel() - stored.count_nonzero().item<int64_t>();
  layer.weight = stored.to(model.dtype());
  pruned.stored = to_host(stored);
  return pruned;
}

}  // namespace prune::pipeline
