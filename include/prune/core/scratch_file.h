#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace prune {

/// Memory in a file instead of RAM: mapped read-write, without a name, gone with the object.
class ScratchFile {
 public:
  /// Reserves the space, so that a full disk shows here. @throws Error(output)
  ScratchFile(const std::filesystem::path& folder, int64_t size_bytes);
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile();

  std::byte* data() const { return data_; }
  /// Gives back the memory behind these bytes; what was written there stays in the file.
  void drop(int64_t offset, int64_t size_bytes) const;

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace prune
