#pragma once

#include <cstdint>
#include <string>

// What core asks of CUDA. device_cuda_absent.cpp implements it for builds without CUDA.
namespace prune::detail {

bool built_with_cuda();
int64_t cuda_device_count();
std::string cuda_device_name(int64_t index);
std::string cuda_device_uuid(int64_t index);  // 16 bytes
int64_t cuda_peak_bytes(int64_t index);
int64_t cuda_available_bytes(int64_t index);
int64_t cuda_allocated_bytes(int64_t index);
int64_t cuda_peak_allocated_bytes(int64_t index);
void cuda_restart_peak(int64_t index);
void cuda_synchronize(int64_t index);

}  // namespace prune::detail
