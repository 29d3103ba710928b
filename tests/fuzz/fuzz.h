#pragma once

#include <prune/core/error.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace prune::fuzz {

/// Aborts the process if the code under test broke a promise, so that libFuzzer saves the input.
inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// Runs a reader on hostile bytes. It may succeed or throw a one-line Error of this kind; any other
/// exception aborts the process.
template <class Read>
int survive(Read&& read, ErrorKind kind = ErrorKind::kInput) {
  try {
    std::forward<Read>(read)();
  } catch (const Error& error) {
    require(error.kind() == kind, "a malformed file is an error of the expected kind");
    require(std::string_view(error.what()).find('\n') == std::string_view::npos,
            "an error is one line");
  }
  return 0;
}

inline std::span<const std::byte> bytes_of(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span(data, size));
}

/// An in-memory file for readers that take a path; one file serves all inputs of a process.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", MFD_CLOEXEC)) { require(fd_ >= 0, "memfd_create works"); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { close(fd_); }

  std::filesystem::path path() const {
    // The process id, not "self": a link to this path must not depend on the process that follows it.
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_);
  }
  void assign(std::string_view bytes) const {
    require(ftruncate(fd_, 0) == 0, "ftruncate works");
    require(pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
            "pwrite works");
  }
  void assign(const uint8_t* data, size_t size) const {
    assign({reinterpret_cast<const char*>(data), size});
  }

 private:
  int fd_;
};

/// An empty folder under TMPDIR for readers that look for files by name. It is not removed, because
/// libFuzzer exits through _exit; scripts/ci/fuzz removes TMPDIR.
inline std::filesystem::path make_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "prune-fuzz-XXXXXX").string();
  require(mkdtemp(pattern.data()) != nullptr, "mkdtemp works");
  return pattern;
}

}  // namespace prune::fuzz
