#include "observed_linear.h"

namespace prune::models {

Tensor observed_linear(const Linear& layer, const Tensor& x, BlockObserver* observer) {
  Tensor y = at::linear(x, layer.weight, layer.bias);
  if (observer != nullptr) observer->on_output(layer, y);
  return y;
}

}  // namespace prune::models
