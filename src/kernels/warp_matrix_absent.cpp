#include <prune/core/error.h>

#include "warp_matrix.h"

namespace prune::kernels {

std::shared_ptr<const PackedWeight> make_warp_matrix(const WarpRecords& /*packed*/,
                                                     at::Device /*device*/) {
  throw Error(ErrorKind::kDevice,
              "built without CUDA: use --device cpu, or build with -DPRUNE_CUDA=ON");
}

}  // namespace prune::kernels
