#pragma once

#include <prune/core/quantization.h>
#include <prune/core/tensor.h>

#include <optional>
#include <string>

namespace prune::kernels {

namespace detail {
struct Tiles;
}

/// A weight [rows, cols] in the layout that the decode kernels read, without its zeros where that takes fewer bytes
/// (src/kernels/README.md, "Packed matrices"). Elements are 16-bit floating-point numbers, or codes of 4 or 8 bits with
/// a scale for every group of columns.
class PackedMatrix {
 public:
  /// @param weight [rows, cols] float16 or bfloat16 on the CPU
  static PackedMatrix pack(const Tensor& weight);
  /// @return nullopt if the kernels cannot hold the codes exactly: group_size is not a multiple of 32, a scale is
  ///         float32, or code - zero needs more than 8 bits
  static std::optional<PackedMatrix> pack(const QuantizedWeight& weight);

  /// x Wᵀ + b. Up to 8 rows of x are multiplied with the packed elements; of more, panels of W are expanded and
  /// multiplied as matrices. Elements of 16 bits are multiplied exactly and summed in float32. Codes meet activations
  /// rounded to 16 bits in each group of columns, and scales as they are.
  /// @param x [..., cols] float32. @param bias [rows] float32 or undefined
  /// @return [..., rows] float32
  Tensor affine(const Tensor& x, const Tensor& bias = {}) const;

  /// The weight, [rows, cols] float32. Of codes: as prune::dequantize() rounds them.
  Tensor expand() const { return expand(0, rows_); }
  /// Some of its rows. @param first a multiple of 16
  Tensor expand(int64_t first, int64_t count) const;

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  /// Bytes that a product of one row reads.
  int64_t size_bytes() const;
  /// "mask + 16 bits", "4 bits", ...
  std::string form() const;

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
