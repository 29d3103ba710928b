#pragma once

#include <cstdint>

#include "kth_score.h"

namespace prune::solver::detail {

/// Rows that the column loop processes together, one per vector lane.
inline constexpr int64_t kTileRows = 16;

/// Bounded because a tile lies on the stack.
inline constexpr int64_t kMaxBlocksize = 1024;

/// The numbers to which kept weights are rounded: n * scale, n whole, low <= n <= high. The arrays
/// begin with the block's first group; see GroupGrids.
struct RoundingGrid {
  const float* scale_t = nullptr;  ///< [groups, rows]; nullptr: kept weights are not rounded
  const float* low_t = nullptr;    ///< [groups, rows]
  const float* high_t = nullptr;   ///< [groups, rows]
  int64_t group_size = 0;
};

/// One block of columns, transposed: column j of the layer is row j of these arrays.
struct ColumnBlock {
  int64_t count = 0;  ///< columns in the block
  int64_t rows = 0;
  const float* u_t = nullptr;     ///< [count, count] U_bb transposed: row j holds column j of U_bb
  const float* v_diag = nullptr;  ///< [count] V_jj = 1 / U_jj
  const float* scale = nullptr;   ///< [count] V_jj²
  float* weight_t = nullptr;      ///< [count, rows] the layer's weights W in, Q out
  float* block_t = nullptr;       ///< [count, rows] W1 (all earlier errors applied) in, W - Q out
  bool* mask_t = nullptr;         ///< [count, rows] out, true = pruned
  int64_t prunen = 0;             ///< N:M pattern; if prunem is 0 the threshold decides
  int64_t prunem = 0;
  const bool* zero_t = nullptr;  ///< [count, rows] weights to prune whatever their score; or none
  bool prune_any = true;         ///< false: no others are pruned in this block
  ScoreThreshold threshold;
  RoundingGrid grid = {};
};

/// The loss of one tile.
struct TileLoss {
  double total = 0.0;     ///< sum of err²/2
  double rounding = 0.0;  ///< the part of the kept weights
};

/// One column of a block, as collect_scores() reads it.
struct ScoreColumn {
  const float* weights = nullptr;  ///< [rows]
  float scale = 0.0F;              ///< V_jj²
  int64_t rows = 0;
  int64_t index = 0;  ///< j within the block
  int64_t count = 0;  ///< columns in the block
};

/// A range of score bit patterns, both ends included.
struct ScoreRange {
  uint32_t low = 0;
  uint32_t high = 0x7fffffffU;
};

/// The vector code, compiled for one instruction set.
struct CpuKernels {
  /// Runs the column loop over rows [first_row, first_row + kTileRows), or up to the last row.
  TileLoss (*column_loop)(const ColumnBlock& block, int64_t first_row);

  /// Writes a key (score bits << 32 | row * count + index) for each score in the range and adds the
  /// number of scores below it to `below`. @return the number of keys written
  int64_t (*collect_scores)(const ScoreColumn& column, const ScoreRange& range, uint64_t* keys,
                            int64_t& below);
};

const CpuKernels& cpu_kernels_avx512();
const CpuKernels& cpu_kernels_avx2();
const CpuKernels& cpu_kernels_portable();

/// The widest of them that this CPU runs.
const CpuKernels& cpu_kernels();

}  // namespace prune::solver::detail
