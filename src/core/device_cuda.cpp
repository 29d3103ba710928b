#include "device_cuda.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

namespace prune::detail {

bool built_with_cuda() { return true; }

int64_t cuda_device_count() { return c10::cuda::device_count(); }

std::string cuda_device_name(int64_t index) {
  cudaDeviceProp properties{};
  const cudaError_t status = cudaGetDeviceProperties(&properties, static_cast<int>(index));
  return status == cudaSuccess ? properties.name : "unknown";
}

int64_t cuda_peak_bytes(int64_t index) {
  const auto stats =
      c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(index));
  const auto aggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return stats.reserved_bytes[aggregate].peak;
}

}  // namespace prune::detail
