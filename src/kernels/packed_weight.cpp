#include <prune/kernels/packed_weight.h>

#include "packed_matrix.h"
#include "warp_matrix.h"

namespace prune::kernels {

std::shared_ptr<const PackedWeight> pack_weight(const Tensor& weight, at::Device device) {
  if (!device.is_cuda()) return std::make_shared<PackedMatrix>(PackedMatrix::pack(weight));
  const std::optional<WarpRecords> packed = pack_for_warps(weight);
  return packed ? make_warp_matrix(*packed, device) : nullptr;
}

std::shared_ptr<const PackedWeight> pack_weight(const QuantizedWeight& weight, at::Device device) {
  if (device.is_cuda()) {
    const std::optional<WarpRecords> packed = pack_for_warps(weight);
    return packed ? make_warp_matrix(*packed, device) : nullptr;
  }
  std::optional<PackedMatrix> packed = PackedMatrix::pack(weight);
  return packed ? std::make_shared<PackedMatrix>(std::move(*packed)) : nullptr;
}

}  // namespace prune::kernels
