#include <fcntl.h>
#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/mapped_file.h>
#include <prune/core/open_error.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace prune {
namespace {

void advise(const std::byte* data, int64_t file_size, int64_t offset, int64_t size_bytes,
            int advice) {
  // madvise requires a page boundary. Dropping a page shared with a neighbour only costs a second read.
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t begin = std::clamp<int64_t>(offset, 0, file_size) / page * page;
  const int64_t end = std::clamp<int64_t>(offset + size_bytes, begin, file_size);
  if (end > begin) {
    madvise(const_cast<std::byte*>(data) + begin, static_cast<size_t>(end - begin), advice);
  }
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw cannot_open(path, errno);
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    throw Error(ErrorKind::kInput, fmt::format("{}: not a regular file", path.string()));
  }
  const std::byte* data = nullptr;
  if (status.st_size > 0) {
    void* mapped =
        mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) {
      const Error error(ErrorKind::kInput,
                        fmt::format("{}: cannot map: {}", path.string(), strerror(errno)));
      close(fd);
      throw error;
    }
    data = static_cast<const std::byte*>(mapped);
  }
  close(fd);
  return std::shared_ptr<const MappedFile>(new MappedFile(path, data, status.st_size));
}

MappedFile::MappedFile(std::filesystem::path path, const std::byte* data, int64_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
}

void MappedFile::will_need(int64_t offset, int64_t size_bytes) const {
  advise(data_, size_, offset, size_bytes, MADV_WILLNEED);
}

void MappedFile::drop(int64_t offset, int64_t size_bytes) const {
  advise(data_, size_, offset, size_bytes, MADV_DONTNEED);
}

}  // namespace prune
