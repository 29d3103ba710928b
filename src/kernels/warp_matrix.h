#pragma once

#include <prune/kernels/packed_weight.h>

#include "warp_packer.h"

namespace prune::kernels {

/// A packed weight on a GPU. @throws Error(device) in a build without CUDA
std::shared_ptr<const PackedWeight> make_warp_matrix(const WarpRecords& packed, at::Device device);

}  // namespace prune::kernels
