#include "linear_block.h"

#include <prune/core/product.h>

namespace prune::models {

Tensor Block::forward(const Tensor& hidden, BlockObserver* observer) const {
  Midway at = enter(hidden);
  for (int64_t input = 0; input < inputs(); ++input) {
    if (observer != nullptr) observer->on_input(input, at.x);
    at = pass(input, std::move(at), observer);
  }
  return at.stream;
}

LinearBlock::LinearBlock(const std::vector<LinearSpec>& specs, const WeightLoader& loader,
                         const std::string& prefix) {
  for (const LinearSpec& spec : specs) linears_.push_back(loader.load_linear(prefix, spec));
}

Tensor LinearBlock::linear(size_t which, const Tensor& x, BlockObserver* observer) const {
  const Linear& layer = linears_[which];
  Tensor y = affine(x, layer.weight, layer.bias);
  if (observer != nullptr) observer->on_output(layer, y);
  return y;
}

}  // namespace prune::models
