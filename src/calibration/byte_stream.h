#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

struct gzFile_s;

namespace prune::calibration {

/// Reads a plain or a gzipped file from front to end; which it is is seen from its first bytes.
class ByteStream {
 public:
  /// @throws Error(input) when the file cannot be opened.
  explicit ByteStream(const std::filesystem::path& path);

  /// Everything that is left.
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
