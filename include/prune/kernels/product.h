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

/// "cpu (16 threads, AVX512, oneDNN)" or "cuda:0 (NVIDIA H200)", for the log and the report.
std::string device_description(at::Device device);

}  // namespace prune::kernels
