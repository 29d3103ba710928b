#pragma once

#include <prune/models/family.h>

#include <string>

namespace prune::models {

/// Normalises the last dimension to mean 0 and variance 1, then applies weight and bias if defined.
struct LayerNorm {
  Tensor weight;
  Tensor bias;
  double eps = 1e-5;

  Tensor operator()(const Tensor& x) const;
};

/// Normalises the last dimension to a mean square of 1, in float32; the weight is applied in x's
/// dtype.
/// Source: Zhang & Sennrich 2019 (arXiv 1910.07467).
struct RmsNorm {
  Tensor weight;
  double eps = 1e-6;

  Tensor operator()(const Tensor& x) const;
};

/// Loads `name`.weight and `name`.bias, both [size].
LayerNorm load_layer_norm(const WeightLoader& loader, const std::string& name, int64_t size,
                          double eps);
/// Loads `name`.weight [size].
RmsNorm load_rms_norm(const WeightLoader& loader, const std::string& name, int64_t size,
                      double eps);

}  // namespace prune::models
