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
  /// @param weight [rows, cols] before the loop.
  GroupGrids(const Tensor& weight, const SolverOptions& options);

  /// Chooses the grids of the groups in this block. Groups do not cross blocks (check_inputs).
  /// @param entry [rows, columns] the block's weights as it is reached, any strides
  /// @param begin the block's first column
  void enter_block(const Tensor& entry, int64_t begin);

  /// Per group and row, [groups, rows] float32.
  const Tensor& scale() const { return scale_; }
  const Tensor& low() const { return low_; }
  const Tensor& high() const { return high_; }
  int64_t group_size() const { return group_size_; }

  /// The zero points, [rows, groups] float32 whole numbers.
  Tensor zero() const;

 private:
  void choose(const Tensor& groups, int64_t first);

  Quantization how_;
  at::ScalarType scale_dtype_;
  int64_t group_size_;
  Tensor scale_;
  Tensor low_;
  Tensor high_;
};

}  // namespace prune::solver::detail
