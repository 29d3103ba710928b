#pragma once

#include <prune/core/tensor.h>
#include <prune/models/decoder_spec.h>

namespace prune::models {

/// Cosine and sine of each position's angles, [seqlen, dims].
struct Rotation {
  Tensor cos;
  Tensor sin;
  bool interleaved = false;

  /// Rotates the first elements of each head by pairs. @param x [..., seqlen, head_dim]
  Tensor operator()(const Tensor& x) const;
};

/// The rotation in the dtype and on the device of `options`.
Rotation rotation_of(const RopeSpec& rope, int64_t seqlen, const at::TensorOptions& options);

/// @throws Error(input) if the number of dimensions is odd or the frequencies are not finite.
void check_rope(const RopeSpec& rope);

}  // namespace prune::models
