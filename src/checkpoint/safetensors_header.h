#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// A tensor and the offset of its data.
struct PlacedTensor {
  TensorInfo info;
  int64_t offset = 0;  ///< from the start of the file
};

/// Largest header that the safetensors library accepts.
inline constexpr int64_t kMaxHeaderBytes = 100'000'000;

struct SafetensorsHeader {
  std::vector<PlacedTensor> tensors;  ///< sorted by data offset
  std::map<std::string, std::string> metadata;
};

/// Reads and validates the header (src/checkpoint/README.md, "safetensors").
/// @param file all bytes of the file. @throws Error(input) without the file's name.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file);

/// Header and tensor offsets of a safetensors file to be written.
struct SafetensorsLayout {
  std::string header;  ///< everything before the data: length field, JSON, padding
  std::vector<PlacedTensor> tensors;
  int64_t size_bytes = 0;  ///< of the whole file
};
/// Places the tensors without gaps, sorted as the safetensors library sorts them.
/// @param metadata gets {"format": "pt"} unless it names a format: several Transformers releases before 5
///        refuse files without one.
/// @throws Error(output): safetensors lacks a dtype, or the header exceeds kMaxHeaderBytes.
SafetensorsLayout layout_safetensors(std::vector<TensorInfo> tensors,
                                     std::map<std::string, std::string> metadata = {});

}  // namespace prune::checkpoint
