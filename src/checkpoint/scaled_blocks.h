#pragma once

#include <prune/core/tensor.h>

namespace prune::checkpoint {

/// Matrices of small floating-point numbers in which each block shares a scale
/// (src/checkpoint/README.md, "Floating-point blocks").
struct ScaledBlocks {
  bool is_fp4 =
      false;        ///< FP4 (E2M1), two in a byte, the first one in the low bits; else FP8 (E4M3)
  Tensor elements;  ///< [count, rows, cols], FP4: [count, rows, cols / 2]; bytes, CPU
  Tensor scale;     ///< [count, block rows, block columns] float32, CPU
  int64_t block_rows = 0;  ///< size of a block; the last ones may be smaller
  int64_t block_cols = 0;
};

/// element * scale in float32, rounded once to bfloat16. Beside the result it needs the memory of one matrix at most.
/// @param transposed  the result is [count, cols, rows] instead of [count, rows, cols]
Tensor dequantize(const ScaledBlocks& weight, bool transposed);

/// Scales as float32. @param stored  a float dtype, or E8M0 exponents b in bytes: 2^(b - 127), 255 is NaN
Tensor scales_of(const Tensor& stored);

}  // namespace prune::checkpoint
