#pragma once

#include <prune/core/tensor.h>

#include <nlohmann/json.hpp>

namespace prune::models {

/// Radians per position of each pair of elements, [head_dim / 2] float32, and a factor for cos and
/// sin.
struct RopeFrequencies {
  Tensor inv_freq;
  double attention_factor = 1.0;
};

/// Rotary position embeddings (Su et al. 2021, arXiv 2104.09864), with the scalings that stretch
/// them over longer sequences: src/models/README.md, "RoPE".
struct Rope {
  double theta = 10000.0;
  int64_t head_dim = 0;
  int64_t max_positions = 0;
  int64_t original_max_positions = 0;  ///< before stretching
  nlohmann::json parameters;           ///< the rope type's own keys
  RopeFrequencies (*frequencies)(const Rope& rope, int64_t seqlen) = nullptr;
};

/// Reads `rope_theta` and `rope_scaling`, or `rope_parameters` as Transformers 5 writes it.
/// @throws Error(input) naming a rope type, a key or a layout that is not supported.
Rope read_rope(const nlohmann::json& raw, int64_t head_dim, int64_t max_positions);

/// Cosine and sine of each position's angles, [seqlen, head_dim].
struct Rotation {
  Tensor cos;
  Tensor sin;

  /// Rotates element i with element i + head_dim / 2. @param x [..., seqlen, head_dim]
  Tensor operator()(const Tensor& x) const;
};

/// The rotation in the dtype and on the device of `options`.
Rotation rotation_of(const Rope& rope, int64_t seqlen, const at::TensorOptions& options);

}  // namespace prune::models
