#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

struct gzFile_s;

namespace prune::calibration {

/// Reads a plain or gzipped file from start to end; its first bytes tell which it is.
class ByteStream {
 public:
  /// @throws Error(input) if the path is a folder or cannot be opened. The read functions throw it for a
  ///         truncated or corrupt file, and for one that expands too far to be text.
  explicit ByteStream(const std::filesystem::path& path);

  /// The rest of the file.
  std::string read_all();
  /// The next line without its "\n"; false at the end of the file.
  bool read_line(std::string& line);

 private:
  bool fill();
  void check_ratio() const;

  struct Close {
    void operator()(gzFile_s* file) const;
  };
  std::filesystem::path path_;
  std::unique_ptr<gzFile_s, Close> file_;
  std::string buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  int64_t total_bytes_ = 0;  ///< unpacked so far
};

}  // namespace prune::calibration
