#include <fcntl.h>
#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/scratch_file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace prune {
namespace {

// O_TMPFILE leaves nothing behind, even after SIGKILL. On file systems without it (NFS) the file has a
// name for a moment.
int open_nameless(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
  std::string name = folder / ".prune-scratch-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

ScratchFile::ScratchFile(const std::filesystem::path& folder, int64_t size_bytes)
    : size_(size_bytes) {
  const auto refuse = [&](const char* what, int error_number) {
    throw Error(ErrorKind::kOutput,
                fmt::format("{}: cannot {} a scratch file of {} bytes: {}", folder.string(), what,
                            size_bytes, strerror(error_number)));
  };
  const int fd = open_nameless(folder);
  if (fd < 0) refuse("create", errno);
  const int error_number = posix_fallocate(fd, 0, size_bytes);
  void* mapped = MAP_FAILED;
  if (error_number == 0) {
    mapped =
        mmap(nullptr, static_cast<size_t>(size_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  const int map_error = errno;
  ::close(fd);
  if (error_number != 0) refuse("reserve", error_number);
  if (mapped == MAP_FAILED) refuse("map", map_error);
  data_ = static_cast<std::byte*>(mapped);
}

ScratchFile::~ScratchFile() { munmap(data_, static_cast<size_t>(size_)); }

void ScratchFile::drop(int64_t offset, int64_t size_bytes) const {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t begin = offset / page * page;
  madvise(data_ + begin, static_cast<size_t>(offset + size_bytes - begin), MADV_DONTNEED);
}

}  // namespace prune
