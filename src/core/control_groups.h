#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune {

/// Folders of the control groups of this process, from its own to the root.
/// @param membership a file like /proc/self/cgroup
/// @param controller of version 1, such as "cpu"; empty: version 2
std::vector<std::filesystem::path> control_groups(const std::filesystem::path& membership,
                                                  const std::filesystem::path& mounted,
                                                  const std::string& controller = "");

}  // namespace prune
