#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// A tensor and where its bytes begin in the file.
struct PlacedTensor {
  TensorInfo info;
  int64_t offset = 0;  ///< from the start of the file
};

/// Longest header the safetensors library accepts.
inline constexpr int64_t kMaxHeaderBytes = 100'000'000;

/// Reads and validates the header of a whole safetensors file as FORMATS §5.1 demands.
/// @return the tensors in the order of their data.
/// @throws Error(input) without the file's name.
std::vector<PlacedTensor> parse_safetensors_header(std::span<const std::byte> file);

/// Places tensors one after the other in the library's order and writes the header for them.
struct SafetensorsLayout {
  std::string header;  ///< length field, JSON and padding: everything before the data
  std::vector<PlacedTensor> tensors;
  int64_t size_bytes = 0;  ///< of the whole file
};
/// @throws Error(output): a dtype safetensors cannot hold, a header beyond kMaxHeaderBytes.
SafetensorsLayout layout_safetensors(std::vector<TensorInfo> tensors);

}  // namespace prune::checkpoint
