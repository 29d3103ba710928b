#pragma once

#include <cstdint>

#include "kth_score.h"

namespace prune::solver::detail {

/// Rows that the column loop handles together, one per vector lane.
inline constexpr int64_t kTileRows = 16;

/// One block of columns, transposed: column j of the layer is row j of these arrays.
struct ColumnBlock {
  int64_t count = 0;              ///< columns in the block
  int64_t rows = 0;
  const float* u = nullptr;       ///< [count, count] U_bb, upper triangular, row-major
  const float* v_diag = nullptr;  ///< [count] V_jj = 1 / U_jj
  const float* scale = nullptr;   ///< [count] V_jj²
  float* weight_t = nullptr;      ///< [count, rows] W1 in, Q out
  uint8_t* mask_t = nullptr;      ///< [count, rows] out, 1 = pruned
  int64_t prunen = 0;             ///< N:M pattern; prunem 0: the threshold decides
  int64_t prunem = 0;
  bool prune_any = true;          ///< false: nothing is pruned in this block
  ScoreThreshold threshold;
};

/// Runs the column loop over rows [first_row, first_row + kTileRows), or as many as there are.
/// @return the sum of err²/2 over these rows.
double run_column_loop(const ColumnBlock& block, int64_t first_row);

}  // namespace prune::solver::detail
