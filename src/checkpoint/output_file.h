#pragma once

#include <prune/core/error.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace prune::checkpoint {

/// Error(output) "PATH: cannot WHAT: reason" with the reason of `error_number`; for a full disk also the
/// free bytes.
Error output_error(const std::string& what, const std::filesystem::path& path, int error_number);

/// Bytes an unprivileged user can still write to the file system of `path`; -1 if unknown.
int64_t free_bytes(const std::filesystem::path& path);

/// Flushes the entries of a folder to disk; a rename is durable only after this.
void sync_folder(const std::filesystem::path& folder);

/// Writes a small file atomically and durably: a crash leaves the old content or the new one, never a part
/// of it, and possibly PATH.tmp. @throws Error(output)
void replace_file(const std::filesystem::path& path, std::span<const std::byte> content);

/// Creates a folder and its parents.
void make_folders(const std::filesystem::path& folder);

/// An output file. All members throw Error(output) with the path.
class OutputFile {
 public:
  /// Creates the file, or truncates an existing one. A symbolic link is an error: it could lead out of the
  /// output folder.
  explicit OutputFile(std::filesystem::path path);
  /// Opens an existing file to continue writing it.
  static OutputFile reopen(std::filesystem::path path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Sets the file's final size and reserves its blocks, so a full disk is an error here.
  void reserve(int64_t size_bytes);
  /// Threads may write disjoint ranges concurrently.
  void write_at(int64_t offset, std::span<const std::byte> bytes);
  /// Reads back written bytes; a range beyond the end of the file is an error.
  void read_at(int64_t offset, std::span<std::byte> bytes) const;
  int64_t size_bytes() const;
  void sync();
  /// Closes the file. Network file systems report some write failures only here.
  void close();

 private:
  OutputFile(std::filesystem::path path, int flags);

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace prune::checkpoint
