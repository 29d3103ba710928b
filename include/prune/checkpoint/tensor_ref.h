#pragma once

#include <prune/core/tensor.h>

#include <string>

namespace prune::checkpoint {

/// A matrix [rows, cols] that is a stored tensor or a part of one: of a stack over experts, turned, every second row.
struct TensorRef {
  std::string name;         ///< of the stored tensor
  int64_t index = -1;       ///< in a stack [count, rows, cols]; -1: the tensor is one matrix
  bool transposed = false;  ///< stored as [cols, rows] (GPT-2's Conv1D, gpt-oss)
  int64_t first_row =
      0;  ///< of the rows that belong to the matrix; gpt-oss interleaves gate and up
  int64_t row_step = 1;
  int64_t rows = -1;  ///< how many they are; -1: all from the first one on
  bool operator==(const TensorRef&) const = default;

  /// True if the matrix is the stored tensor as it is.
  bool is_whole() const { return *this == TensorRef{.name = name}; }
  /// The matrix as a view of the stored tensor.
  Tensor in(const Tensor& stored) const;
};

}  // namespace prune::checkpoint
