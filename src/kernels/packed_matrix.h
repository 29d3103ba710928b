#pragma once

#include <prune/kernels/packed_weight.h>

#include <optional>

#include "tiles.h"

namespace prune::kernels {

/// A packed weight on the CPU.
class PackedMatrix : public PackedWeight {
 public:
  /// As pack_weight().
  static PackedMatrix pack(const Tensor& weight);
  static std::optional<PackedMatrix> pack(const QuantizedWeight& weight);

  Tensor affine(const Tensor& x, const Tensor& bias = {}) const override;

  /// The weight, [rows, cols] float32. Of codes: as prune::dequantize() rounds them.
  Tensor expand() const { return expand(0, rows_); }
  /// Some of its rows. @param first a multiple of 16
  Tensor expand(int64_t first, int64_t count) const;

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t size_bytes() const override;
  std::string form() const override;

 private:
  friend struct Packer;
  friend detail::Tiles tiles_of(const PackedMatrix& weight);

  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t padded_cols_ = 0;
  int64_t bits_ = 16;                     // of an element
  at::ScalarType dtype_ = at::kBFloat16;  // of the elements, or of the scales
  int64_t group_ = 0;                     // columns that share a scale
  Tensor mask_;                           // undefined if no element is left out
  Tensor values_;                         // bytes
  Tensor starts_;                         // [blocks] int64, where each block's values begin
  Tensor scales_;                         // [blocks, groups, 16] of dtype_
};

}  // namespace prune::kernels
