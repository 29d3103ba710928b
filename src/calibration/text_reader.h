#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "byte_stream.h"

namespace prune::calibration {

/// Reads a file as UTF-8. A byte order mark is dropped; with one, UTF-16 and UTF-32 are converted. Nothing is
/// repaired: other bytes are refused.
class TextReader {
 public:
  /// @param name  shown in errors
  /// @throws Error(input) as ByteStream; the read functions throw it for text that is not in its encoding, with
  ///         line and byte offset.
  TextReader(const std::filesystem::path& path, std::string name);

  /// "UTF-8", "UTF-8 with BOM", "UTF-16LE", "UTF-16BE", "UTF-32LE" or "UTF-32BE".
  const std::string& encoding() const { return encoding_; }
  const std::string& compression() const { return stream_.compression(); }
  const std::string& name() const { return name_; }
  /// True if the rest starts so.
  bool starts_with(std::string_view start) { return stream_.peek(start.size()) == start; }
  /// The first character of what follows that is not blank; '\0' at the end.
  char next_character();
  /// The rest of the text.
  std::string read_all();
  /// The next line without its "\n"; false at the end of the text.
  bool read_line(std::string& line);
  /// Number of the line that read_line() gave last; counted from 1.
  int64_t line() const { return line_; }

 private:
  void check(const std::string& text, int64_t first_line) const;

  std::string name_;
  ByteStream stream_;
  std::string encoding_ = "UTF-8";
  int64_t line_ = 0;
  int64_t offset_ = 0;  ///< of the next byte to read, counted in the unpacked file
};

}  // namespace prune::calibration
