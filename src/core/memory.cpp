#include <fmt/format.h>
#include <malloc.h>
#include <prune/core/memory.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include "control_groups.h"
#include "device_cuda.h"

namespace prune {
namespace {

namespace fs = std::filesystem;

// The value of a "Key:  123 kB" line in a file under /proc, in bytes; 0 if there is no such line.
int64_t kilobytes_of(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::stoll(line.substr(key.size())) * 1024;
  }
  return 0;
}

// The number in a one-line file; the largest int64_t if the file says "max" or does not exist.
int64_t number_in(const fs::path& path) {
  int64_t number = 0;
  return std::ifstream(path) >> number ? number : std::numeric_limits<int64_t>::max();
}

// Bytes left below the tightest memory.max between this process's control group and the root.
int64_t room_in_cgroups() {
  int64_t room = std::numeric_limits<int64_t>::max();
  for (const fs::path& group : control_groups("/proc/self/cgroup", "/sys/fs/cgroup")) {
    const int64_t limit = number_in(group / "memory.max");
    if (limit == std::numeric_limits<int64_t>::max()) continue;
    // The kernel counts cached file pages as used, but drops them when memory runs short.
    const int64_t used = number_in(group / "memory.current");
    std::ifstream counters(group / "memory.stat");
    int64_t reclaimable = 0;
    std::string key;
    for (int64_t value = 0; counters >> key >> value;) {
      if (key == "inactive_file" || key == "active_file") reclaimable += value;
    }
    room = std::min(room, std::max<int64_t>(0, limit - used + reclaimable));
  }
  return room;
}

}  // namespace

int64_t available_host_bytes() {
  return std::min(kilobytes_of("/proc/meminfo", "MemAvailable:"), room_in_cgroups());
}

int64_t available_device_bytes(at::Device device) {
  return device.is_cuda() ? detail::cuda_available_bytes(device.index()) : 0;
}

int64_t peak_host_bytes() {
  // getrusage() would also count what the parent had resident before exec.
  return kilobytes_of("/proc/self/status", "VmHWM:");
}

int64_t peak_device_bytes(at::Device device) {
  return device.is_cuda() ? detail::cuda_peak_bytes(device.index()) : 0;
}

int64_t allocated_bytes(at::Device device) {
  return device.is_cuda() ? detail::cuda_allocated_bytes(device.index()) : 0;
}

int64_t peak_allocated_bytes(at::Device device) {
  return device.is_cuda() ? detail::cuda_peak_allocated_bytes(device.index()) : 0;
}

void restart_peak_allocated_bytes(at::Device device) {
  if (device.is_cuda()) detail::cuda_restart_peak(device.index());
}

void synchronize(at::Device device) {
  if (device.is_cuda()) detail::cuda_synchronize(device.index());
}

int64_t resident_host_bytes() { return kilobytes_of("/proc/self/status", "VmRSS:"); }

void keep_heap_flat() {
  constexpr int kOwnMapping = 4 << 20;  // bytes
  mallopt(M_MMAP_THRESHOLD, kOwnMapping);
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(kHeapSlack));
  // LibTorch's switch for huge pages under its tensors, which make such mappings cheap.
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
}

void return_freed_memory() { malloc_trim(0); }

}  // namespace prune
