#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace prune {

/// A whole file mapped read-only. Tensors built on it keep the mapping alive by the shared pointer;
/// writing through them is a fault.
class MappedFile {
 public:
  /// @throws Error(input) when the file cannot be opened, is no regular file or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }
  const std::byte* data() const { return data_; }
  std::span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }

  /// Tells the kernel that these bytes are wanted soon, or are no longer wanted: what has been read
  /// of a mapping counts as resident memory until it is dropped.
  void will_need(int64_t offset, int64_t size_bytes) const;
  void drop(int64_t offset, int64_t size_bytes) const;

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, int64_t size);

  std::filesystem::path path_;
  const std::byte* data_;
  int64_t size_;
};

}  // namespace prune
