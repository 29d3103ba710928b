#pragma once

#include <prune/core/quantization.h>

// Random pruned weights for the tests of packed layouts.
namespace prune::test {

inline Tensor pruned(const Tensor& weight, double sparsity) {
  return weight.masked_fill(at::rand(weight.sizes()).lt(sparsity), 0.0);
}

inline QuantizedWeight random_codes(int64_t rows, int64_t cols, int64_t groups, int64_t wbits,
                                    double sparsity, bool symmetric, at::ScalarType scale) {
  const int64_t half = int64_t{1} << (wbits - 1);
  Tensor zero = at::zeros({rows, groups}, at::kChar);
  if (!symmetric) zero = at::randint(-half, half, {rows, groups}, at::kChar);
  const Tensor codes = at::randint(-half, half, {rows, cols}, at::kChar);
  const Tensor left_out = at::rand({rows, cols}).lt(sparsity);
  return {.codes = at::where(left_out, zero.repeat_interleave(cols / groups, 1), codes),
          .scale = at::rand({rows, groups}).mul_(0.02).add_(1e-3).to(scale),
          .zero = zero};
}

/// The numbers that the codes stand for, [rows, cols] float32, without dequantize()'s rounding.
inline Tensor exact(const QuantizedWeight& weight) {
  const int64_t group = weight.codes.size(1) / weight.scale.size(1);
  const auto by_column = [&](const Tensor& of_group) {
    return of_group.to(at::kFloat).repeat_interleave(group, 1);
  };
  return weight.codes.to(at::kFloat).sub(by_column(weight.zero)).mul(by_column(weight.scale));
}

}  // namespace prune::test
