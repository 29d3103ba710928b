#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

namespace prune::checkpoint {

// Sizes from files may be hostile: this arithmetic on them returns nullopt on overflow.

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

inline std::optional<int64_t> checked_multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

/// Number of elements. Also nullopt if the product of the non-zero sizes overflows although one size is
/// zero, because strides are products of the other sizes.
inline std::optional<int64_t> checked_element_count(at::IntArrayRef shape) {
  std::optional<int64_t> count = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    empty |= size == 0;
    if (count && size != 0) count = checked_multiply(*count, size);
  }
  return count && empty ? 0 : count;
}

/// LibTorch's iterators support at most this many dimensions.
inline constexpr size_t kMaxDimensions = 64;

}  // namespace prune::checkpoint
