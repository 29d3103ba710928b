#pragma once

#include <prune/solver/options.h>

namespace prune::solver::detail {

/// What the kept weights of a layer are rounded to: for each row and group the multiples n * scale with
/// low <= n <= high, 0 among them. As in OPTQ a group's grid follows from its weights as they are at the
/// start of the block in which it begins, all errors of earlier blocks moved onto them; that of a whole
/// row from the weights before the loop.
/// Source: Frantar et al. 2022, OPTQ (arXiv 2210.17323), §3.3; scale and zero point as compressed-tensors
/// has them (FORMATS §8.2).
class GroupGrids {
 public:
  /// @param weight [rows, cols] before the loop, its columns in `order`
  /// @param order as HessianFactor's. If it is defined, groups are those of the columns as they were, and
  ///        their grids follow from this weight: a group's columns come up here and there
  GroupGrids(const Tensor& weight, const SolverOptions& options, const Tensor& order);

  /// Chooses the grids of the groups in this block. Groups do not cross blocks (check_inputs).
  /// @param entry [rows, columns] the block's weights as it is reached, any strides
  /// @param begin the block's first column
  void enter_block(const Tensor& entry, int64_t begin);

  /// What the column loop takes: per group_size() columns and row, [cols / group_size(), rows] float32.
  const Tensor& scale() const { return scale_; }
  const Tensor& low() const { return low_; }
  const Tensor& high() const { return high_; }
  int64_t group_size() const { return group_size_; }

  /// Scales and zero points of the layer's groups, [rows, groups] float32, the latter whole numbers.
  Tensor group_scale() const;
  Tensor group_zero() const;

 private:
  void choose(const Tensor& groups, int64_t first);

  Quantization how_;
  at::ScalarType scale_dtype_;
  int64_t group_size_;
  Tensor first_columns_;  // of the groups, where each column has a grid of its own
  Tensor scale_;
  Tensor low_;
  Tensor high_;
};

}  // namespace prune::solver::detail
