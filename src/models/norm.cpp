#include "norm.h"

namespace prune::models {

Tensor LayerNorm::operator()(const Tensor& x) const {
  return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
}

Tensor RmsNorm::operator()(const Tensor& x) const {
  const Tensor x32 = x.to(at::kFloat);
  const Tensor scale = x32.square().mean(-1, /*keepdim=*/true).add_(eps).rsqrt_();
  return weight * (x32 * scale).to(x.scalar_type());
}

LayerNorm load_layer_norm(const WeightLoader& loader, const std::string& name, int64_t size,
                          double eps) {
  return {loader.load(name + ".weight", {size}), loader.load(name + ".bias", {size}), eps};
}

RmsNorm load_rms_norm(const WeightLoader& loader, const std::string& name, int64_t size,
                      double eps) {
  return {loader.load(name + ".weight", {size}), eps};
}

}  // namespace prune::models
