#pragma once

#include <prune/core/tensor.h>

namespace prune::kernels {

/// Bytes per second at which all threads, or the GPU, read memory far larger than the caches: the best of several passes
/// over 512 MiB. It bounds the speed of decoding, which reads every weight for each token.
double read_bytes_per_s(at::Device device);

}  // namespace prune::kernels
