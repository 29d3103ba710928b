#include "linear_block.h"

#include <prune/kernels/product.h>

namespace prune::models {

Tensor Block::forward(const Tensor& hidden, BlockObserver* observer) const {
  SiteActivations at = enter(hidden);
  for (int64_t site = 0; site < sites(); ++site) {
    if (observer != nullptr) observer->on_site(site, at.x);
    at = pass(site, std::move(at), observer);
  }
  return at.stream;
}

LinearBlock::LinearBlock(const std::vector<LinearSpec>& specs, const WeightLoader& loader,
                         const std::string& prefix) {
  for (const LinearSpec& spec : specs) linears_.push_back(loader.load_linear(prefix, spec));
}

Tensor LinearBlock::linear(size_t index, const Tensor& x, BlockObserver* observer) const {
  const Linear& layer = linears_[index];
  Tensor y = kernels::affine(x, layer.weight, layer.bias);
  if (observer != nullptr) observer->on_output(layer, y);
  return y;
}

}  // namespace prune::models
