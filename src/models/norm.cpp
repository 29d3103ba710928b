#include "norm.h"

namespace prune::models {
namespace {

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  if (!weight.defined() || weight.dim() == 1) {
    return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
  }
  // Weights of their own for each head.
  const Tensor normed = at::layer_norm(x.to(at::kFloat), {x.size(-1)}, {}, {}, eps);
  return (normed * weight.to(at::kFloat)).to(x.scalar_type());
}

Tensor rms_norm(const Tensor& x, const NormSpec& spec, const Tensor& weight) {
  const Tensor x32 = x.to(at::kFloat);
  const Tensor scale = x32.square().mean(-1, /*keepdim=*/true).add_(spec.eps).rsqrt_();
  if (!weight.defined()) return (x32 * scale).to(x.scalar_type());
  switch (spec.kind) {
    case NormKind::kRmsFloat:
      return (weight.to(at::kFloat) * (x32 * scale)).to(x.scalar_type());
    case NormKind::kRmsPlusOne:
      return (x32 * scale * weight.to(at::kFloat).add(1.0)).to(x.scalar_type());
    default:
      return weight * (x32 * scale).to(x.scalar_type());
  }
}

}  // namespace

Tensor Norm::operator()(const Tensor& x) const {
  switch (spec.kind) {
    case NormKind::kLayer:
      return layer_norm(x, weight, bias, spec.eps);
    case NormKind::kLayerPlusOne:
      return layer_norm(x, weight.add(1.0), bias, spec.eps);
    default:
      return rms_norm(x, spec, weight);
  }
}

Tensor Norm::gain(int64_t size) const {
  if (!weight.defined()) return at::ones({size});
  const bool plus_one = spec.kind == NormKind::kLayerPlusOne || spec.kind == NormKind::kRmsPlusOne;
  return plus_one ? weight.add(1.0) : weight;
}

Norm load_norm(const WeightLoader& loader, const NormSpec& spec, const std::string& name,
               int64_t size) {
  const bool is_layer_norm = spec.kind == NormKind::kLayer || spec.kind == NormKind::kLayerPlusOne;
  Norm norm{.spec = spec, .weight = {}, .bias = {}};
  if (spec.weight) norm.weight = loader.load(name + ".weight", {size});
  if (spec.bias && is_layer_norm) norm.bias = loader.load(name + ".bias", {size});
  return norm;
}

Norm load_qk_norm(const WeightLoader& loader, const AttentionSpec& attention,
                  const std::string& name, int64_t heads) {
  const int64_t head_dim = attention.head_dim;
  Norm norm{.spec = attention.qk_norm_spec, .weight = {}, .bias = {}};
  switch (attention.qk_norm) {
    case QkNorm::kOwn:
      norm.weight = loader.load(name + ".weight", {heads, head_dim});
      return norm;
    case QkNorm::kOwnParts: {
      std::vector<Tensor> parts;
      for (int64_t head = 0; head < heads; ++head) {
        parts.push_back(loader.load(fmt::format("{}.norms.{}.weight", name, head), {head_dim}));
      }
      if (parts.front().defined()) norm.weight = at::stack(parts);
      return norm;
    }
    case QkNorm::kFull:
      return load_norm(loader, norm.spec, name, heads * head_dim);
    default:
      return load_norm(loader, norm.spec, name, head_dim);
  }
}

}  // namespace prune::models
