#include "output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace prune::checkpoint {
namespace {

// Linux writes at most 2 GiB at once; smaller pieces keep an interrupt's latency low.
constexpr size_t kPieceBytes = size_t{64} << 20;

}  // namespace

Error output_error(const std::string& what, const std::filesystem::path& path, int error_number) {
  std::string message =
      fmt::format("{}: cannot {}: {}", path.string(), what, strerror(error_number));
  if (error_number == ENOSPC || error_number == EDQUOT) {
    message += fmt::format(" ({} bytes free)", free_bytes(path.parent_path()));
  }
  return {ErrorKind::kOutput, message};
}

int64_t free_bytes(const std::filesystem::path& path) {
  struct statvfs status {};
  if (statvfs(path.c_str(), &status) != 0) return -1;
  return static_cast<int64_t>(status.f_bavail * status.f_frsize);
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw output_error("open", folder, errno);
  const int result = fsync(fd);
  const int error_number = errno;
  ::close(fd);
  // Some network file systems cannot sync a folder and need not: EINVAL says so.
  if (result != 0 && error_number != EINVAL) throw output_error("sync", folder, error_number);
}

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) throw output_error("create", path_, errno);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::reserve(int64_t size_bytes) {
  if (size_bytes == 0) return;
  int result = 0;
  do {
    result = fallocate(fd_, 0, 0, size_bytes);
  } while (result != 0 && errno == EINTR);
  // posix_fallocate would write into every block of a file system that cannot reserve, for hours on
  // a large model; there the size alone must do.
  if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) result = ftruncate(fd_, size_bytes);
  if (result != 0) throw output_error(fmt::format("reserve {} bytes", size_bytes), path_, errno);
}

void OutputFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        pwrite(fd_, bytes.data(), std::min(bytes.size(), kPieceBytes), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw output_error(fmt::format("write {} bytes", bytes.size()), path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
}

void OutputFile::sync() {
  if (fsync(fd_) != 0) throw output_error("sync", path_, errno);
}

void OutputFile::close() {
  if (::close(std::exchange(fd_, -1)) != 0) throw output_error("close", path_, errno);
}

}  // namespace prune::checkpoint
