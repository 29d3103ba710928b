#include <prune/core/quantization.h>

namespace prune {

Tensor dequantize(const QuantizedWeight& weight) {
  const int64_t group_size = weight.codes.size(1) / weight.scale.size(1);
  const Tensor steps = weight.codes.to(at::kFloat).unflatten(1, {-1, group_size}) -
                       weight.zero.to(at::kFloat).unsqueeze(2);
  return steps.mul(weight.scale.to(at::kFloat).unsqueeze(2))
      .view(weight.codes.sizes())
      .to(weight.scale.scalar_type());
}

}  // namespace prune
