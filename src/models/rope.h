#pragma once

#include <prune/core/tensor.h>
#include <prune/models/decoder_spec.h>

namespace prune::models {

/// Cosine and sine of each position's angles, [tokens, dims].
struct Rotation {
  Tensor cos;
  Tensor sin;
  bool interleaved = false;

  /// Rotates the first elements of each head by pairs. @param x [..., tokens, head_dim]
  Tensor operator()(const Tensor& x) const;
};

/// The rotation of the positions [first, end) of a text, in the dtype and on the device of `options`.
Rotation rotation_of(const RopeSpec& rope, int64_t first, int64_t end,
                     const at::TensorOptions& options);

/// @throws Error(input) if the number of dimensions is odd or the frequencies are not finite.
void check_rope(const RopeSpec& rope);

}  // namespace prune::models
