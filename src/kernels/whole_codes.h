#pragma once

#include <prune/core/quantization.h>

#include <optional>

namespace prune::kernels {

/// Codes with their zero points taken off, as the packed layouts keep them.
struct WholeCodes {
  Tensor codes = {};   ///< [rows, cols] int8
  int64_t bits = 0;    ///< 4 if all codes are -8 to 7, else 8
  int64_t group = 0;   ///< columns that share a scale: 128, 64 or 32
  Tensor scales = {};  ///< [rows, ceil(cols / group)] of 16 bits
};

/// @return nullopt if that is impossible: the checkpoint's group is not a multiple of smallest_group, a scale is float32,
///         or code - zero needs more than 8 bits
std::optional<WholeCodes> whole_codes(const QuantizedWeight& weight, int64_t smallest_group);

}  // namespace prune::kernels
