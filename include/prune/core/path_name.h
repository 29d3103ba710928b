#pragma once

#include <filesystem>
#include <string>

namespace prune {

/// The last component of a path; a trailing slash does not count.
inline std::string path_name(const std::filesystem::path& path) {
  const std::filesystem::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

}  // namespace prune
