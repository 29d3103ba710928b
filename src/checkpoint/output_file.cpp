#include "output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <prune/core/kill_point.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace prune::checkpoint {
namespace {

// Linux transfers at most 2 GiB per call; smaller pieces react to a signal sooner.
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
  // EINVAL: some network file systems cannot sync a folder and need not.
  if (result != 0 && error_number != EINVAL) throw output_error("sync", folder, error_number);
}

void make_folders(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw output_error("create the folder", folder, failure.value());
}

void replace_file(const std::filesystem::path& path, std::span<const std::byte> content) {
  const std::filesystem::path temporary = path.native() + ".tmp";
  OutputFile file(temporary);
  file.write_at(0, content);
  file.sync();
  file.close();
  kill_point("before a file is replaced");
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    throw output_error(fmt::format("rename to '{}'", path.filename().string()), temporary, errno);
  }
  sync_folder(path.parent_path());
}

OutputFile::OutputFile(std::filesystem::path path, int flags) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd_ < 0) throw output_error((flags & O_CREAT) != 0 ? "create" : "open", path_, errno);
}

OutputFile::OutputFile(std::filesystem::path path)
    : OutputFile(std::move(path), O_CREAT | O_TRUNC) {}

OutputFile OutputFile::reopen(std::filesystem::path path) { return {std::move(path), 0}; }

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
  // On a file system that cannot reserve, posix_fallocate would write to every block, which takes hours
  // for a large model; there we only set the size.
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

void OutputFile::read_at(int64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count =
        pread(fd_, bytes.data(), std::min(bytes.size(), kPieceBytes), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      throw output_error(fmt::format("read {} bytes at {}", bytes.size(), offset), path_,
                         count < 0 ? errno : EIO);
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
}

int64_t OutputFile::size_bytes() const {
  struct stat status {};
  if (fstat(fd_, &status) != 0) throw output_error("get the size", path_, errno);
  return status.st_size;
}

void OutputFile::sync() {
  if (fsync(fd_) != 0) throw output_error("sync", path_, errno);
}

void OutputFile::close() {
  if (::close(std::exchange(fd_, -1)) != 0) throw output_error("close", path_, errno);
}

}  // namespace prune::checkpoint
