#include "linear_block.h"

namespace prune::models {

LinearBlock::LinearBlock(const std::vector<LinearSpec>& specs, const WeightLoader& loader,
                         const std::string& prefix) {
  for (const LinearSpec& spec : specs) linears_.push_back(loader.load_linear(prefix, spec));
}

Tensor LinearBlock::linear(size_t which, const Tensor& x, BlockObserver* observer) const {
  const Linear& layer = linears_[which];
  const bool first_reader = which == 0 || linears_[which - 1].input != layer.input;
  if (observer != nullptr && first_reader) observer->on_input(layer.input, x);
  const bool last = which + 1 == linears_.size();
  if (last && observer != nullptr && !observer->wants_result()) {
    return at::zeros({1}, x.options()).expand({x.size(0), x.size(1), layer.weight.size(0)});
  }
  Tensor y = at::linear(x, layer.weight, layer.bias);
  if (observer != nullptr) observer->on_output(layer, y);
  return y;
}

}  // namespace prune::models
