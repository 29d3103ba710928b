#include <prune/loss/curve.h>

#include <algorithm>
#include <cmath>

namespace prune::loss {

double loss_at(const LayerLoss& layer, double sparsity) {
  const double position = sparsity * (kQuantiles - 1);
  const auto below = std::min(static_cast<size_t>(position), kQuantiles - 2);
  const auto& curve = layer.cumulative;
  return std::lerp(curve[below], curve[below + 1], position - static_cast<double>(below));
}

}  // namespace prune::loss
