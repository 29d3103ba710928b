#pragma once

#include <prune/core/quantization.h>
#include <prune/core/tensor.h>

#include <memory>
#include <string>

namespace prune::kernels {

/// A weight [rows, cols] in the memory of a device, in the layout that its decode kernels read, without its zeros where
/// that takes fewer bytes (src/kernels/README.md, "Packed matrices"). Elements are 16-bit floating-point numbers, or
/// codes of 4 or 8 bits with a scale for every group of columns.
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;

  /// x Wᵀ + b. Up to 8 rows of x are multiplied with the packed elements; for more, W is expanded to the dtype of x, in
  /// panels on a CPU, and multiplied as a matrix. Elements of 16 bits are multiplied exactly and summed in float32. Codes
  /// meet activations rounded to 16 bits in each group of columns, and scales as they are.
  /// @param x [..., cols], float32 or bfloat16 on a CPU; on a GPU float16 or bfloat16 like the elements or scales
  /// @param bias [rows] of the same dtype, or undefined
  /// @return [..., rows] of the same dtype
  virtual Tensor affine(const Tensor& x, const Tensor& bias = {}) const = 0;

  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
  /// Bytes that a product of one row reads.
  virtual int64_t size_bytes() const = 0;
  /// "mask + 16 bits", "4 bits", ...
  virtual std::string form() const = 0;
};

/// @param weight [rows, cols] float16 or bfloat16 on the CPU
/// @return nullptr on a GPU if the packed matrix would not be smaller
std::shared_ptr<const PackedWeight> pack_weight(const Tensor& weight, at::Device device);

/// @return nullptr if the kernels cannot hold the codes exactly: a group is not a multiple of 32 columns, on a GPU of 64,
///         a scale is float32, or code - zero needs more than 8 bits
std::shared_ptr<const PackedWeight> pack_weight(const QuantizedWeight& weight, at::Device device);

}  // namespace prune::kernels
