#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace prune {

/// A whole file mapped read-only. Tensors over its bytes hold the shared pointer, which keeps the
/// mapping alive; writing through them is a segmentation fault.
class MappedFile {
 public:
  /// @throws Error(input) if the file cannot be opened, is not a regular file or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }
  const std::byte* data() const { return data_; }
  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }

  /// Starts reading these bytes into memory.
  void will_need(int64_t offset, int64_t size_bytes) const;
  /// Lets these bytes leave memory until they are read again. Bytes that were read count as resident
  /// memory until they are dropped.
  void drop(int64_t offset, int64_t size_bytes) const;

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, int64_t size);

  std::filesystem::path path_;
  const std::byte* data_;
  int64_t size_;
};

}  // namespace prune
