#include "device_cuda.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

namespace prune::detail {

bool built_with_cuda() { return true; }

int64_t cuda_device_count() { return c10::cuda::device_count(); }

std::string cuda_device_name(int64_t index) {
  cudaDeviceProp properties{};
  const cudaError_t status = cudaGetDeviceProperties(&properties, static_cast<int>(index));
  return status == cudaSuccess ? properties.name : "unknown";
}

std::string cuda_device_uuid(int64_t index) {
  cudaDeviceProp properties{};
  const cudaError_t status = cudaGetDeviceProperties(&properties, static_cast<int>(index));
  if (status != cudaSuccess) return "";
  return {std::begin(properties.uuid.bytes), std::end(properties.uuid.bytes)};
}

namespace {

constexpr auto kAggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);

auto allocator_counters(int64_t index) {
  at::globalContext().lazyInitDevice(at::kCUDA);  // nothing may have used the GPU yet
  return c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(index));
}

}  // namespace

int64_t cuda_peak_bytes(int64_t index) {
  return allocator_counters(index).reserved_bytes[kAggregate].peak;
}

int64_t cuda_allocated_bytes(int64_t index) {
  return allocator_counters(index).allocated_bytes[kAggregate].current;
}

int64_t cuda_peak_allocated_bytes(int64_t index) {
  return allocator_counters(index).allocated_bytes[kAggregate].peak;
}

void cuda_restart_peak(int64_t index) {
  at::globalContext().lazyInitDevice(at::kCUDA);
  c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(index));
}

void cuda_synchronize(int64_t index) {
  const c10::cuda::CUDAGuard on_device(static_cast<c10::DeviceIndex>(index));
  c10::cuda::device_synchronize();
}

int64_t cuda_available_bytes(int64_t index) {
  const c10::cuda::CUDAGuard on_device(static_cast<c10::DeviceIndex>(index));
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) return 0;
  const auto counters = allocator_counters(index);
  return static_cast<int64_t>(free_bytes) + counters.reserved_bytes[kAggregate].current -
         counters.allocated_bytes[kAggregate].current;
}

}  // namespace prune::detail
