#include <fmt/format.h>
#include <prune/core/open_error.h>

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

}  // namespace prune
