#pragma once

#include <prune/core/tensor.h>

#include <cstdint>

namespace prune {

/// Integer format of the weights. In each row, every `group_size` columns share a scale and a zero
/// point. A weight is (code - zero) * scale, with code and zero in [-2^(wbits-1), 2^(wbits-1)).
struct Quantization {
  int64_t wbits = 16;        ///< 2, 3, 4 or 8; 16 keeps floating-point weights
  int64_t group_size = 128;  ///< -1: the whole row
  bool symmetric = true;  ///< true fixes zero at 0; false puts it at the start of the group's range

  bool on() const { return wbits < 16; }
  int64_t columns_of_group(int64_t cols) const { return group_size < 0 ? cols : group_size; }
  int64_t groups(int64_t cols) const { return cols / columns_of_group(cols); }
  int64_t smallest_code() const { return -(int64_t{1} << (wbits - 1)); }
  int64_t largest_code() const { return -smallest_code() - 1; }
};

/// A quantized weight; all three tensors lie on one device.
struct QuantizedWeight {
  Tensor codes;  ///< [rows, cols] int8
  Tensor scale;  ///< [rows, groups] in the dtype in which it is stored
  Tensor zero;   ///< [rows, groups] int8, the zero point
};

/// (code - zero) * scale in float32, rounded once to the scale's dtype, as compressed-tensors computes it.
Tensor dequantize(const QuantizedWeight& weight);

}  // namespace prune
