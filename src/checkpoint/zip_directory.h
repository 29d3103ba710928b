#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

namespace prune::checkpoint {

/// Where the bytes of an archived file lie.
struct ZipRecord {
  int64_t offset = 0;  ///< from the start of the archive
  int64_t size_bytes = 0;
};

using ZipDirectory = std::map<std::string, ZipRecord, std::less<>>;

/// Lists a zip archive whose files are stored, not compressed, as torch.save writes them (FORMATS
/// §4.1). Sizes come from the central directory: local headers written by streaming hold zeros.
/// Every record lies inside the archive. Checksums are not compared: that would read all weights.
/// @throws Error(input) without the file's name.
ZipDirectory read_zip_directory(std::span<const std::byte> archive);

}  // namespace prune::checkpoint
