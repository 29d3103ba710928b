#include <ATen/Version.h>
#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/nearest.h>

#include <charconv>
#include <filesystem>

#include "device_cuda.h"

namespace prune {
namespace {

// N of "cuda:N"; -1 for any other name.
int64_t cuda_index(std::string_view name) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  int64_t index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc() && end == name.data() + name.size() ? index : -1;
}

}  // namespace

bool built_with_cuda() { return detail::built_with_cuda(); }

at::Device find_device(const std::string& name) {
  const int64_t count = detail::cuda_device_count();
  if (name == "cpu" || (name == "auto" && count == 0)) return at::kCPU;
  const int64_t index = name == "cuda" || name == "auto" ? 0 : cuda_index(name);
  if (index < 0) {
    throw Error(ErrorKind::kUsage,
                fmt::format("device '{}' is not one of auto, cpu, cuda, cuda:N{}", name,
                            did_you_mean(name, {"auto", "cpu", "cuda"})));
  }
  if (!detail::built_with_cuda()) {
    throw Error(ErrorKind::kDevice,
                fmt::format("'{}': this program was built without CUDA (preset cuda); use --device "
                            "cpu or auto",
                            name));
  }
  if (index >= count) {
    throw Error(
        ErrorKind::kDevice,
        fmt::format("'{}': {} GPUs are visible (nvidia-smi, CUDA_VISIBLE_DEVICES)", name, count));
  }
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

std::string device_passed_over(const std::string& name) {
  std::error_code failure;
  if (name != "auto" || detail::built_with_cuda() ||
      !std::filesystem::exists("/dev/nvidia0", failure)) {
    return "";
  }
  return "a GPU is present but not used: this program was built without CUDA";
}

int64_t gpu_count() { return detail::cuda_device_count(); }

std::string device_name(at::Device device) {
  return device.is_cuda() ? detail::cuda_device_name(device.index()) : "cpu";
}

std::string device_uuid(at::Device device) {
  return device.is_cuda() ? detail::cuda_device_uuid(device.index()) : "";
}

}  // namespace prune
