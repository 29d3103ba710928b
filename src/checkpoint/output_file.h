#pragma once

#include <prune/core/error.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace prune::checkpoint {

/// "PATH: cannot WHAT: reason" of errno, as Error(output); a full disk also says what is free.
Error output_error(const std::string& what, const std::filesystem::path& path, int error_number);

/// Bytes an ordinary user may still write beside `path`; -1 when the file system does not say.
int64_t free_bytes(const std::filesystem::path& path);

/// Makes the entries of a folder durable: a rename is on disk only after this.
void sync_folder(const std::filesystem::path& folder);

/// Puts a small file in place as a whole and durably: a crash leaves the old content or the new one,
/// never a part, and perhaps PATH.tmp. @throws Error(output)
void replace_file(const std::filesystem::path& path, const std::string& content);

/// A file that is being written. All members throw Error(output) with the path.
class OutputFile {
 public:
  /// Creates the file, or empties one that is there. A symbolic link is an error: it could lead out of
  /// the output folder.
  explicit OutputFile(std::filesystem::path path);
  /// Opens a file that is there, to write on.
  static OutputFile reopen(std::filesystem::path path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Gives the file its final size and the blocks for it, so that a full disk shows now.
  void reserve(int64_t size_bytes);
  /// Safe to call from several threads for disjoint ranges.
  void write_at(int64_t offset, std::span<const std::byte> bytes);
  /// Reads what was written; all of it must be there.
  void read_at(int64_t offset, std::span<std::byte> bytes) const;
  int64_t size_bytes() const;
  void sync();
  /// Network file systems report some write failures only here.
  void close();

 private:
  OutputFile(std::filesystem::path path, int flags);

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace prune::checkpoint
