#include <prune/core/parallel.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "cpu_kernels.h"
#include "group_grids.h"
#include "kth_score.h"
#include "prune_columns_detail.h"

namespace prune::solver::detail {
namespace {

// Runs the column loop over all row tiles. Their losses are added in a fixed sequence, so the sum
// does not depend on the number of threads.
TileLoss run_all_tiles(const ColumnBlock& block) {
  const int64_t tiles = (block.rows + kTileRows - 1) / kTileRows;
  std::vector<TileLoss> loss(static_cast<size_t>(tiles));
  parallel_for(0, tiles, 4, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      loss[static_cast<size_t>(tile)] = cpu_kernels().column_loop(block, tile * kTileRows);
    }
  });
  TileLoss sum;
  for (const TileLoss& part : loss) {
    sum.total += part.total;
    sum.rounding += part.rounding;
  }
  return sum;
}

// The grids from the group of column `begin` on.
RoundingGrid grid_at(const GroupGrids& grids, int64_t begin) {
  const int64_t first = begin / grids.group_size();
  const auto from = [&](const Tensor& values) { return values[first].const_data_ptr<float>(); };
  return {.scale_t = from(grids.scale()),
          .low_t = from(grids.low()),
          .high_t = from(grids.high()),
          .group_size = grids.group_size()};
}

}  // namespace

PruneResult prune_columns_cpu_(Tensor& weight, const hessian::HessianFactor& factor,
                               const SolverOptions& options) {
  const int64_t rows = weight.size(0);
  const int64_t cols = weight.size(1);
  const Tensor v_diag_all = live_diagonal(factor);
  // All matrices are transposed: a row tile is then one vector per column, and the loop and the
  // GEMMs share memory without a copy.
  Tensor weight_t = weight.t().contiguous();
  Tensor carried_t = at::zeros_like(weight_t);
  Tensor mask_t = at::empty({cols, rows}, at::kBool);
  PruneResult result;
  const KeptZeros kept_zeros(weight, options);
  const Tensor zero_t = kept_zeros.any() ? kept_zeros.mask().t().contiguous() : Tensor();
  std::optional<GroupGrids> grids;
  if (options.quantization.on()) grids.emplace(weight, options, factor.permutation);

  for (int64_t begin = 0; begin < cols; begin += options.blocksize) {
    const int64_t end = std::min(begin + options.blocksize, cols);
    const Tensor v_block = factor.v.slice(0, begin, end).slice(1, begin, end).to(at::kDouble);
    const Tensor u_t =
        at::linalg_solve_triangular(v_block, at::eye(end - begin, at::kDouble), /*upper=*/true)
            .t()
            .to(at::kFloat)
            .contiguous();
    const Tensor v_diag = v_diag_all.slice(0, begin, end);
    const Tensor scale = v_diag.square();

    Tensor block_t = at::addmm(weight_t.slice(0, begin, end), u_t, carried_t.slice(0, begin, end));
    ColumnBlock block{
        .count = end - begin,
        .rows = rows,
        .u_t = u_t.const_data_ptr<float>(),
        .v_diag = v_diag.const_data_ptr<float>(),
        .scale = scale.const_data_ptr<float>(),
        .weight_t = weight_t.mutable_data_ptr<float>() + begin * rows,
        .block_t = block_t.mutable_data_ptr<float>(),
        .mask_t = mask_t.mutable_data_ptr<bool>() + begin * rows,
        .prunen = options.prunen,
        .prunem = options.prunem,
        .zero_t = zero_t.defined() ? zero_t.const_data_ptr<bool>() + begin * rows : nullptr,
        .prune_any = true,
        .threshold = {}};
    if (grids) {
      grids->enter_block(block_t.t(), begin);
      block.grid = grid_at(*grids, begin);
    }
    if (options.prunem == 0) {
      const int64_t kept = kept_zeros.count(begin, end);
      const int64_t chosen =
          std::max<int64_t>(0, block_zeros(rows, begin, end, options.sparsity) - kept);
      block.prune_any = chosen > 0;
      if (chosen > 0) {
        const Tensor candidates_t = kept_zeros.without(block_t.t(), begin, end).t().contiguous();
        block.threshold = find_kth_score(candidates_t.const_data_ptr<float>(), block.scale,
                                         block.count, rows, chosen);
      }
      result.zeros += kept + chosen;
    }
    const TileLoss loss = run_all_tiles(block);
    result.loss += loss.total;
    result.loss_rounding += loss.rounding;

    if (end < cols) {
      Tensor after = carried_t.slice(0, end, cols);
      after.addmm_(factor.v.slice(0, begin, end).slice(1, end, cols).t(), block_t);
    }
  }
  weight.copy_(weight_t.t());
  result.mask = mask_t.t();
  if (grids) {
    result.scale = grids->group_scale();
    result.zero = grids->group_zero();
  }
  if (options.prunem != 0) result.zeros = result.mask.sum().item<int64_t>();
  return result;
}

}  // namespace prune::solver::detail
