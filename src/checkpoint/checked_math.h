#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

namespace prune::checkpoint {

/// Sizes in files are hostile until proven otherwise: arithmetic on them says when it overflows.
inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}

inline std::optional<int64_t> checked_multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

/// Number of elements; nothing on overflow, even where a size of zero would hide it: strides are
/// products of the other sizes.
inline std::optional<int64_t> checked_element_count(at::IntArrayRef shape) {
  std::optional<int64_t> count = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    empty |= size == 0;
    if (count && size != 0) count = checked_multiply(*count, size);
  }
  return count && empty ? 0 : count;
}

/// More dimensions than LibTorch's iterators take are no tensor of a model.
inline constexpr size_t kMaxDimensions = 64;

}  // namespace prune::checkpoint
