#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

namespace prune::checkpoint {

/// Location of an archived file's bytes.
struct ZipRecord {
  int64_t offset = 0;  ///< from the start of the archive
  int64_t size_bytes = 0;
};

using ZipDirectory = std::map<std::string, ZipRecord, std::less<>>;

/// Lists a zip archive of uncompressed files, as torch.save writes it (src/checkpoint/README.md,
/// "pytorch_model.bin"). Sizes come from the central directory, because torch.save leaves them 0 in the local
/// headers. Every returned record lies inside the archive. Checksums are not verified: that would read all
/// weights.
/// @throws Error(input) without the file's name.
ZipDirectory read_zip_directory(std::span<const std::byte> archive);

}  // namespace prune::checkpoint
