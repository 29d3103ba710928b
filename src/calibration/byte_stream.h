#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "unpacker.h"

namespace prune::calibration {

/// Reads a file, pipe or device from start to end and unpacks it; its first bytes tell the compression.
class ByteStream {
 public:
  /// @throws Error(input) if the path is a folder or cannot be opened. All functions throw it for a
  ///         truncated or corrupt file, and for one that expands too far to be text.
  explicit ByteStream(const std::filesystem::path& path);

  /// "gzip", "zstd", or empty.
  const std::string& compression() const { return compression_; }
  /// The next bytes without consuming them: `count` of them, or fewer at the end of the file.
  std::string_view peek(size_t count);
  void skip(size_t count) { begin_ += count; }
  /// The rest of the file.
  std::string read_all();
  /// Puts text in place of what has been read.
  void put_back(std::string text);
  /// The next line without its "\n"; false at the end of the file.
  bool read_line(std::string& line);

 private:
  class File {
   public:
    explicit File(const std::filesystem::path& path);
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File();
    size_t read(char* bytes, size_t size) const;

   private:
    int descriptor_;
  };

  bool fill();
  size_t read_plain(char* bytes, size_t size);
  void read_packed();
  void check_ratio() const;

  std::filesystem::path path_;
  File file_;
  std::unique_ptr<Unpacker> unpacker_;
  std::string compression_;
  std::string packed_;  ///< read, not yet unpacked
  std::string buffer_;  ///< the bytes from begin_ to end_ are not consumed yet
  size_t begin_ = 0;
  size_t end_ = 0;
  bool file_ended_ = false;
  int64_t packed_bytes_ = 0;  ///< consumed by the unpacker so far
  int64_t plain_bytes_ = 0;   ///< unpacked so far
};

}  // namespace prune::calibration
