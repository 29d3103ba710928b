#pragma once

#include <prune/core/tensor.h>

#include <string>

namespace prune::kernels {

/// Which library runs float32 matrix products on this CPU: "oneDNN" or "BLAS". BLAS is LibTorch's default,
/// MKL, which falls back to AVX2 kernels on processors not made by Intel; on those with AVX-512 oneDNN takes
/// half the time. The last bits of a product depend on the choice.
const char* product_library();

/// True if affine() runs this matrix's products through oneDNN: float32 on such a CPU.
bool multiplies_by_onednn(const Tensor& x);

/// x Wᵀ + b, differentiable in all three whichever library multiplies.
/// @param x [..., cols]
/// @param weight [rows, cols]
/// @param bias [rows] or undefined
/// @return [..., rows]
Tensor affine(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

/// True if add_product_() takes this matrix as it is: 16 bits on a GPU, bfloat16 on a CPU whose MKL accumulates products
/// of bfloat16 in float32 (AVX512-BF16, AMX). Such products are those of the matrix in float32 but for the sequence of
/// additions, and several times faster.
bool accumulates_16_bits(const Tensor& x);

/// sum += leftᵀ right, accumulated in float32.
/// @param sum [m, n] float32
/// @param left [k, m], right [k, n]: float32, or of a dtype that accumulates_16_bits(); rows are contiguous
void add_product_(Tensor& sum, const Tensor& left, const Tensor& right);

/// "cpu (16 threads, AVX512, oneDNN)" or "cuda:0 (NVIDIA H200)", for the log and the report.
std::string device_description(at::Device device);

}  // namespace prune::kernels
