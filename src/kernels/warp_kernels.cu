#include <cuda_runtime.h>

#include "warp_kernels.cuh"

namespace prune::kernels::detail {
namespace {

// Launches on one stream and keeps the first error.
class CudaLaunch {
 public:
  explicit CudaLaunch(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  template <class... Parameters, class... Arguments>
  bool operator()(void (*kernel)(Parameters...), int64_t ctas, int threads, int64_t shared_bytes,
                  const Arguments&... arguments) {
    // Only errors of our own calls count, not one left behind by other code.
    if (error_ != cudaSuccess) return false;
    constexpr int64_t kFreeOfAsking = 48 * 1024;
    if (shared_bytes > kFreeOfAsking &&
        !ok(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_bytes)))) {
      return false;
    }
    kernel<<<static_cast<unsigned>(ctas), static_cast<unsigned>(threads),
             static_cast<size_t>(shared_bytes), stream_>>>(arguments...);
    return ok(cudaGetLastError());
  }

  int64_t shared_limit() {
    int device = 0;
    int bytes = 0;
    ok(cudaGetDevice(&device));
    ok(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    return bytes - static_cast<int64_t>(sizeof(float)) * kWarps * 4 * kWarp;
  }

  const char* error() const { return error_ == cudaSuccess ? nullptr : cudaGetErrorString(error_); }

 private:
  bool ok(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
    return error_ == cudaSuccess;
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace

const char* launch_round(const WarpRounding& job, void* stream) {
  CudaLaunch launch(stream);
  launch_rounding(launch, job);
  return launch.error();
}

const char* launch_multiply(const WarpProduct& job, void* stream) {
  CudaLaunch launch(stream);
  launch_product(launch, job);
  return launch.error();
}

const char* launch_expand(const WarpTiles& weight, uint16_t* to, void* stream) {
  CudaLaunch launch(stream);
  launch_expansion(launch, weight, to);
  return launch.error();
}

}  // namespace prune::kernels::detail
