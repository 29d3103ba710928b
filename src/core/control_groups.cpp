#include "control_groups.h"

#include <fstream>
#include <sstream>

namespace prune {

namespace fs = std::filesystem;

std::vector<fs::path> control_groups(const fs::path& membership, const fs::path& mounted,
                                     const std::string& controller) {
  std::vector<fs::path> groups;
  std::ifstream lines(membership);
  for (std::string line; std::getline(lines, line);) {
    // number:controllers:/path; version 2 has the number 0 and no controllers.
    std::istringstream fields(line);
    std::string number;
    std::string controllers;
    std::string path;
    if (!std::getline(fields, number, ':') || !std::getline(fields, controllers, ':') ||
        !std::getline(fields, path) || !path.starts_with('/')) {
      continue;
    }
    const std::string listed = "," + controllers + ",";
    const bool wanted = controller.empty()
                            ? controllers.empty()
                            : listed.find("," + controller + ",") != std::string::npos;
    if (!wanted) continue;
    const fs::path root = controller.empty() ? mounted : mounted / controllers;
    // Within a container the path may lead out of what is mounted.
    const fs::path inside = fs::path(path).lexically_normal().relative_path();
    for (fs::path group = inside; !group.empty(); group = group.parent_path()) {
      groups.push_back(root / group);
    }
    groups.push_back(root);
  }
  return groups;
}

}  // namespace prune
