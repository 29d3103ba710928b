#include <prune/core/cuda_launch.cuh>

#include "warp_kernels.cuh"

namespace prune::kernels::detail {
const char* launch_round(const WarpRounding& job, void* stream) {
  prune::detail::CudaLaunch launch(stream);
  launch_rounding(launch, job);
  return launch.error();
}

const char* launch_multiply(const WarpProduct& job, void* stream) {
  prune::detail::CudaLaunch launch(stream);
  launch_product(launch, job);
  return launch.error();
}

const char* launch_expand(const WarpTiles& weight, uint16_t* to, void* stream) {
  prune::detail::CudaLaunch launch(stream);
  launch_expansion(launch, weight, to);
  return launch.error();
}

}  // namespace prune::kernels::detail
