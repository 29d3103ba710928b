#pragma once

#include <prune/core/tensor.h>

#include <cstdint>
#include <string>

namespace prune {

/// "auto", "cpu", "cuda" or "cuda:N" to a device that is there.
/// @throws Error(usage) for another word, Error(device) for a GPU that is absent or not built in.
at::Device find_device(const std::string& name);

/// What "auto" did not take although it is there: a GPU, by a program built without CUDA. Empty: nothing.
std::string device_passed_over(const std::string& name);

/// Number of visible GPUs; 0 in a build without CUDA.
int64_t gpu_count();

/// "NVIDIA H200" or "cpu".
std::string device_name(at::Device device);

/// Bytes that tell this GPU from every other one, also of another machine; empty for the CPU.
std::string device_uuid(at::Device device);

}  // namespace prune
