#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace prune::detail {

/// Launches on one stream and keeps the first error.
class CudaLaunch {
 public:
  explicit CudaLaunch(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  bool zero(void* begin, size_t bytes) { return ok(cudaMemsetAsync(begin, 0, bytes, stream_)); }

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

  /// CTAs of this kernel that the device runs at a time.
  template <class... Parameters>
  int resident_ctas(void (*kernel)(Parameters...), int threads, int shared_bytes) {
    int each = 1;
    const int multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    const bool known = ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        &each, kernel, threads, static_cast<size_t>(shared_bytes)));
    return known && each > 0 && multiprocessors > 0 ? multiprocessors * each : 1;
  }

  /// Bytes of shared memory that a CTA may have, static arrays included.
  int64_t shared_limit() { return attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }

  const char* error() const { return error_ == cudaSuccess ? nullptr : cudaGetErrorString(error_); }

 private:
  bool ok(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
    return error_ == cudaSuccess;
  }

  // Of the current device; 0 after an error.
  int attribute(cudaDeviceAttr which) {
    int device = 0;
    int value = 0;
    const bool known =
        ok(cudaGetDevice(&device)) && ok(cudaDeviceGetAttribute(&value, which, device));
    return known ? value : 0;
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace prune::detail
