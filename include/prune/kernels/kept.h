#pragma once

#include <prune/core/tensor.h>

namespace prune::kernels {

/// Where a weight is not zero, a bit for each element in row-major order, [ceil(numel / 64)] int64 on its device. Bit i
/// of word w stands for element 64 w + i.
Tensor kept_bits(const Tensor& weight);

/// Number of bits that are set.
int64_t count_kept(const Tensor& bits);

/// The kept elements of a tensor in row-major order, [kept] float32.
/// @param dense of any float dtype, with the weight's number of elements, on the device of the bits
Tensor gather_kept(const Tensor& bits, const Tensor& dense);

/// Inverse of gather_kept(): zeros elsewhere.
/// @param kept [kept] float32
/// @return of this shape and dtype
Tensor scatter_kept(const Tensor& bits, const Tensor& kept, at::IntArrayRef shape,
                    at::ScalarType dtype);

}  // namespace prune::kernels
