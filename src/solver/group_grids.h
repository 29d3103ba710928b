#pragma once

#include <prune/solver/options.h>

namespace prune::solver::detail {

/// The grids to which the kept weights of a layer are rounded: for each row and group the numbers
/// n * scale, low <= n <= high, 0 among them. As in OPTQ a group's grid follows from its weights at
/// the start of the block in which it begins, after all errors of earlier blocks were moved onto
/// them; the grid of a full row follows from the weights before the loop.
/// Source: Frantar et al. 2022, OPTQ (arXiv 2210.17323), section 3.3; scale and zero point as in
/// compressed-tensors: src/solver/README.md, "Quantization grids".
class GroupGrids {
 public:
  /// @param weight [rows, cols] before the loop, its columns in `permutation`
  /// @param permutation as HessianFactor's. If it is defined, a group's columns are scattered, so
  ///        the groups are those of the original columns and their grids follow from `weight`.
  GroupGrids(const Tensor& weight, const SolverOptions& options, const Tensor& permutation);

  /// Chooses the grids of the groups in this block. Groups do not cross blocks (check_inputs).
  /// @param entry [rows, columns] the block's weights after all earlier errors, any strides
  /// @param begin the block's first column
  void enter_block(const Tensor& entry, int64_t begin);

  /// The column loop's grids, one per row and group_size() columns: [groups, rows] float32.
  const Tensor& scale() const { return scale_; }
  const Tensor& low() const { return low_; }
  const Tensor& high() const { return high_; }
  int64_t group_size() const { return group_size_; }

  /// Scales and zero points (whole numbers) of the layer's groups, [rows, groups] float32.
  Tensor group_scale() const;
  Tensor group_zero() const;

 private:
  void choose(const Tensor& groups, int64_t first);

  Quantization quantization_;
  at::ScalarType scale_dtype_;
  int64_t group_size_;
  Tensor first_columns_;  // of the original groups; undefined without a permutation
  Tensor scale_;
  Tensor low_;
  Tensor high_;
};

}  // namespace prune::solver::detail
