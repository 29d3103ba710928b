#pragma once

#include <prune/core/error.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "column_kernels.h"
#include "group_grids.h"
#include "prune_columns_detail.h"

// The block algorithm of prune_columns_detail.h on row-major tensors, over two kernels. The CUDA
// twin passes the CUDA kernels. A test passes the same kernels in an emulator, with CPU tensors, so
// that slices and strides are tested without a GPU.
namespace prune::solver::detail {

// U_bb = V_bb^-1 of every block, each [count, count] float32 contiguous. One batched solve takes
// all full blocks, because launches would dominate many small ones. In float64, as in the CPU twin.
inline std::vector<Tensor> invert_diagonal_blocks(const Tensor& v, int64_t blocksize) {
  const int64_t cols = v.size(0);
  const int64_t full = cols / blocksize;
  const int64_t rest = cols % blocksize;
  std::vector<Tensor> inverses;
  const auto invert = [&](const Tensor& blocks) {
    const Tensor identity = at::eye(blocks.size(-1), blocks.options().dtype(at::kDouble));
    return at::linalg_solve_triangular(blocks.to(at::kDouble), identity.expand_as(blocks),
                                       /*upper=*/true)
        .to(at::kFloat, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::Contiguous);
  };
  if (full > 0) {
    const Tensor blocks =
        v.as_strided({full, blocksize, blocksize},
                     {blocksize * (v.stride(0) + v.stride(1)), v.stride(0), v.stride(1)});
    inverses = invert(blocks).unbind(0);
  }
  if (rest > 0) inverses.push_back(invert(v.slice(0, cols - rest).slice(1, cols - rest)));
  return inverses;
}

inline void check_launch(const char* error, const char* kernel) {
  if (error != nullptr) {
    throw Error(ErrorKind::kDevice, fmt::format("CUDA could not start {}: {}", kernel, error));
  }
}

/// prune_columns_ with these kernels. After the zeros that stay are counted, nothing waits for the device until the loss is read.
/// @param kernels has threshold_workspace_bytes(), choose_threshold(ThresholdJob) and
///        prune_panel(PanelJob); the last two return nullptr or CUDA's error text.
template <class Kernels>
PruneResult prune_columns_by_blocks_(Tensor& weight, const hessian::HessianFactor& factor,
                                     const SolverOptions& options, const Kernels& kernels) {
  const int64_t rows = weight.size(0);
  const int64_t cols = weight.size(1);
  const int64_t blocksize = std::min(options.blocksize, cols);
  const bool n_of_m = options.prunem != 0;
  if (options.prunem > kPanelColumns) {
    throw Error(ErrorKind::kUsage, fmt::format("pattern {}:{}: on CUDA M is at most {}",
                                               options.prunen, options.prunem, kPanelColumns));
  }
  if (!n_of_m && rows >= (int64_t{1} << 32) / blocksize) {
    throw Error(ErrorKind::kUsage, fmt::format("blocksize {} is too large for {} rows on CUDA: a "
                                               "block may have 2^32 weights",
                                               blocksize, rows));
  }
  // A block wider than the kernel's limit is split into panels; N:M groups are not split.
  const int64_t panel_columns =
      n_of_m ? kPanelColumns / options.prunem * options.prunem : kPanelColumns;

  const Tensor& v = factor.v;
  const Tensor v_diag = live_diagonal(factor);
  const std::vector<Tensor> u_blocks = invert_diagonal_blocks(v, blocksize);
  // S: the errors of earlier columns, still to be applied to later ones.
  Tensor carried = at::zeros_like(weight);
  const Tensor removed = at::empty({rows, std::min(panel_columns, blocksize)}, weight.options());
  const Tensor row_loss = at::zeros({rows}, weight.options().dtype(at::kDouble));
  const Tensor threshold = at::zeros({1}, weight.options().dtype(at::kLong));
  const Tensor workspace =
      at::empty({kernels.threshold_workspace_bytes()}, weight.options().dtype(at::kByte));
  auto* threshold_key = reinterpret_cast<ScoreKey*>(threshold.mutable_data_ptr<int64_t>());
  std::optional<GroupGrids> grids;
  Tensor row_rounding;
  if (options.quantization.on()) {
    grids.emplace(weight, options, factor.permutation);
    row_rounding = at::zeros_like(row_loss);
  }
  PruneResult result;
  result.mask = at::empty({rows, cols}, weight.options().dtype(at::kBool));
  const KeptZeros kept_zeros(weight, options);

  for (int64_t block = 0; block * blocksize < cols; ++block) {
    const int64_t begin = block * blocksize;
    const int64_t end = std::min(begin + blocksize, cols);
    const Tensor& u_block = u_blocks[static_cast<size_t>(block)];
    const Tensor entry =
        at::addmm(weight.slice(1, begin, end), carried.slice(1, begin, end), u_block);
    if (grids) grids->enter_block(entry, begin);
    const Tensor candidates = kept_zeros.without(entry, begin, end);
    if (!n_of_m) {
      const int64_t kept = kept_zeros.count(begin, end);
      const int64_t zeros =
          std::max<int64_t>(0, block_zeros(rows, begin, end, options.sparsity) - kept);
      result.zeros += kept + zeros;
      const char* error =
          kernels.choose_threshold({.weight = candidates.const_data_ptr<float>(),
                                    .v_diag = v_diag.const_data_ptr<float>() + begin,
                                    .rows = rows,
                                    .columns = end - begin,
                                    .zeros = zeros,
                                    .workspace = workspace.mutable_data_ptr<uint8_t>(),
                                    .threshold = threshold_key});
      check_launch(error, "the threshold kernels");
    }

    for (int64_t first = begin; first < end; first += panel_columns) {
      const int64_t last = std::min(first + panel_columns, end);
      // The diagonal panels of V_bb^-1 are the inverses of V's diagonal panels.
      const Tensor u =
          u_block.slice(0, first - begin, last - begin).slice(1, first - begin, last - begin);
      const Tensor start = first == begin ? entry.slice(1, 0, last - begin)
                                          : at::addmm(weight.slice(1, first, last),
                                                      carried.slice(1, first, last), u);
      PanelJob job{.rows = rows,
                   .columns = last - first,
                   .start = start.const_data_ptr<float>(),
                   .start_stride = start.stride(0),
                   .u = u.const_data_ptr<float>(),
                   .u_stride = u.stride(0),
                   .v_diag = v_diag.const_data_ptr<float>() + first,
                   .weight = weight.mutable_data_ptr<float>() + first,
                   .keep_zeros = kept_zeros.any(),
                   .weight_stride = cols,
                   .removed = removed.mutable_data_ptr<float>(),
                   .removed_stride = removed.stride(0),
                   .mask = result.mask.template mutable_data_ptr<bool>() + first,
                   .mask_stride = cols,
                   .row_loss = row_loss.mutable_data_ptr<double>(),
                   .first_column = first,
                   .threshold = threshold_key,
                   .entry = candidates.const_data_ptr<float>(),
                   .block_columns = end - begin,
                   .block_offset = first - begin,
                   .prunen = options.prunen,
                   .prunem = options.prunem};
      if (grids) {
        job.scale = grids->scale().const_data_ptr<float>();
        job.low = grids->low().const_data_ptr<float>();
        job.high = grids->high().const_data_ptr<float>();
        job.group_size = grids->group_size();
        job.row_rounding = row_rounding.template mutable_data_ptr<double>();
      }
      check_launch(kernels.prune_panel(job), "the column loop");
      if (last < cols) {
        carried.slice(1, last).addmm_(removed.slice(1, 0, last - first),
                                      v.slice(0, first, last).slice(1, last));
      }
    }
  }
  if (n_of_m) result.zeros = result.mask.sum().template item<int64_t>();
  result.loss = row_loss.sum().item<double>();
  if (grids) {
    result.loss_rounding = row_rounding.sum().item<double>();
    result.scale = grids->group_scale();
    result.zero = grids->group_zero();
  }
  return result;
}

}  // namespace prune::solver::detail
