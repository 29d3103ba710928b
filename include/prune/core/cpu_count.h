#pragma once

#include <cstdint>
#include <filesystem>

namespace prune {

/// Processors that this process may use: the least of the machine's, those of its CPU set and what its control
/// groups allow, rounded up.
int64_t usable_cpus();

/// Processors by the quotas of control groups, version 2 (cpu.max) and 1 (cpu.cfs_quota_us); the largest
/// int64_t without a quota.
/// @param membership a file like /proc/self/cgroup
/// @param mounted    where control groups are mounted: /sys/fs/cgroup
int64_t cpus_of_quota(const std::filesystem::path& membership,
                      const std::filesystem::path& mounted);

}  // namespace prune
