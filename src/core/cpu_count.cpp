#include <prune/core/cpu_count.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <thread>
#include <vector>

#include "control_groups.h"

namespace prune {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

int64_t rounded_up(int64_t quota, int64_t period) {
  return quota > 0 && period > 0 ? std::max<int64_t>(1, (quota + period - 1) / period) : kNoLimit;
}

int64_t cpus_of_set() {
  // A machine may have more processors than one cpu_set_t.
  for (size_t sets = 1; sets <= 64; sets *= 2) {
    std::vector<cpu_set_t> mask(sets);
    const size_t size = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, size, mask.data()) == 0) return CPU_COUNT_S(size, mask.data());
    if (errno != EINVAL) break;
  }
  return kNoLimit;
}

}  // namespace

int64_t cpus_of_quota(const fs::path& membership, const fs::path& mounted) {
  int64_t cpus = kNoLimit;
  for (const fs::path& group : control_groups(membership, mounted)) {
    int64_t quota = 0;  // stays 0 where the file says "max"
    int64_t period = 0;
    std::ifstream(group / "cpu.max") >> quota >> period;
    cpus = std::min(cpus, rounded_up(quota, period));
  }
  for (const fs::path& group : control_groups(membership, mounted, "cpu")) {
    int64_t quota = 0;
    int64_t period = 0;
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;  // -1 without one
    std::ifstream(group / "cpu.cfs_period_us") >> period;
    cpus = std::min(cpus, rounded_up(quota, period));
  }
  return cpus;
}

int64_t usable_cpus() {
  const auto present = static_cast<int64_t>(std::thread::hardware_concurrency());
  return std::min({present > 0 ? present : kNoLimit, cpus_of_set(),
                   cpus_of_quota("/proc/self/cgroup", "/sys/fs/cgroup")});
}

}  // namespace prune
