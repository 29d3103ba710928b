#pragma once

#include <filesystem>
#include <string>

namespace prune {

/// The last part of a path, also of a folder's that ends in a slash.
inline std::string path_name(const std::filesystem::path& path) {
  const std::filesystem::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

}  // namespace prune
