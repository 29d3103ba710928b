#include <fmt/format.h>
#include <prune/core/open_error.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace prune {

Error cannot_open(const std::filesystem::path& path, int error_number) {
  std::error_code failure;
  const std::filesystem::path target = std::filesystem::read_symlink(path, failure);
  const std::string reason =
      error_number == ENOENT && !failure
          ? fmt::format("it is a link to '{}', which does not exist; fetch the file again",
                        target.string())
          : strerror(error_number);
  return {ErrorKind::kInput, fmt::format("{}: cannot open: {}", path.string(), reason)};
}

void check_can_write(const std::filesystem::path& path) {
  if (path.empty()) return;
  std::error_code failure;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  int reason = 0;
  if (std::filesystem::is_directory(path, failure)) {
    reason = EISDIR;
  } else if (access(folder.c_str(), F_OK) != 0 || !std::filesystem::is_directory(folder, failure)) {
    reason = ENOENT;
  } else if (access(std::filesystem::is_other(path, failure) ? path.c_str() : folder.c_str(),
                    W_OK) != 0) {
    reason = errno;
  }
  if (reason == 0) return;
  throw Error(ErrorKind::kOutput,
              fmt::format("{}: cannot write: {}", path.string(), strerror(reason)));
}

}  // namespace prune
