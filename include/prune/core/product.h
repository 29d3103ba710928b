#pragma once

#include <prune/core/tensor.h>

namespace prune {

/// Who multiplies float32 matrices on this CPU: "oneDNN", or "BLAS", LibTorch's own choice. That is MKL, which
/// gives another maker's processor AVX2 kernels only: where such a one has AVX-512 it is oneDNN, which takes
/// half the time. The last bits of a product depend on it.
const char* product_library();

/// Whether the products of this matrix are oneDNN's. @param x float32 on the CPU, else they are not
bool multiplies_by_onednn(const Tensor& x);

/// x Wᵀ + b. @param x [..., cols] @param weight [rows, cols] @param bias [rows] or undefined
/// @return [..., rows]
Tensor affine(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace prune
