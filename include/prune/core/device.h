#pragma once

#include <prune/core/tensor.h>

#include <cstdint>
#include <string>

namespace prune {

/// False for a program that can only use CPUs.
bool built_with_cuda();

/// Resolves "auto", "cpu", "cuda" or "cuda:N" to an available device.
/// @throws Error(usage) for any other name, Error(device) for a GPU that is absent or that this build
///         does not support.
at::Device find_device(const std::string& name);

/// A warning if "auto" ignores a GPU because the program was built without CUDA; otherwise empty.
std::string device_passed_over(const std::string& name);

/// Number of visible GPUs; 0 in a build without CUDA.
int64_t gpu_count();

/// "NVIDIA H200" or "cpu".
std::string device_name(at::Device device);

/// 16 bytes that identify this GPU across machines; empty for the CPU.
std::string device_uuid(at::Device device);

}  // namespace prune
