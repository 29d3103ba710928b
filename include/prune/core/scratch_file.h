#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace prune {

/// Memory backed by a file: an unnamed file, mapped read-write, that disappears with the object.
class ScratchFile {
 public:
  /// Reserves the space, so that a full disk fails here and not at a later write.
  /// @throws Error(output) if the file cannot be created, reserved or mapped.
  ScratchFile(const std::filesystem::path& folder, int64_t size_bytes);
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile();

  std::byte* data() const { return data_; }
  /// Lets these bytes leave memory until they are read again; the file keeps them.
  void drop(int64_t offset, int64_t size_bytes) const;

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace prune
