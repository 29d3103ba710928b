#pragma once

#include "cpu_kernels.h"
#include "prune_columns_detail.h"
#include "solver/problem.h"

namespace prune::test {

/// The weight [cols, rows] after the column loop of `kernels`, all columns being one block. On
/// average 20 weights of a row are pruned.
inline Tensor after_column_loop(const solver::detail::CpuKernels& kernels, const Problem& problem,
                                const solver::detail::RoundingGrid& grid = {}) {
  const int64_t rows = problem.weight.size(0);
  const int64_t count = problem.weight.size(1);
  const Tensor u_t = at::linalg_inv(problem.factor.v).t().contiguous();
  const Tensor v_diag = problem.factor.v.diagonal().contiguous();
  const Tensor scale = v_diag.square();
  Tensor weight_t = problem.weight.t().contiguous();
  Tensor block_t = weight_t.clone();
  Tensor mask_t = at::empty({count, rows}, at::kBool);
  solver::detail::ColumnBlock block{.count = count,
                                    .rows = rows,
                                    .u_t = u_t.const_data_ptr<float>(),
                                    .v_diag = v_diag.const_data_ptr<float>(),
                                    .scale = scale.const_data_ptr<float>(),
                                    .weight_t = weight_t.mutable_data_ptr<float>(),
                                    .block_t = block_t.mutable_data_ptr<float>(),
                                    .mask_t = mask_t.mutable_data_ptr<bool>(),
                                    .prunen = 0,
                                    .prunem = 0,
                                    .prune_any = true,
                                    .threshold = {},
                                    .grid = grid};
  block.threshold =
      solver::detail::find_kth_score(block.block_t, block.scale, count, rows, rows * 20);
  for (int64_t row = 0; row < rows; row += solver::detail::kTileRows)
    kernels.column_loop(block, row);
  return weight_t;
}

}  // namespace prune::test
