#pragma once

#include <cstdint>

// The interface of the CUDA column loop. It needs neither torch nor CUDA headers, so nvcc compiles
// the kernels without ATen and the host compiler compiles the wrapper. All pointers are device
// memory; all matrices are row-major float32 with their row stride beside them.
namespace prune::solver::detail {

/// The most columns one launch of the column loop takes: a row of them is held in registers.
inline constexpr int kPanelColumns = 128;

/// Score and row-major index of a weight in one number. No two keys are equal, so a threshold
/// selects exactly the k smallest.
using ScoreKey = uint64_t;

/// The search for the threshold of one block.
struct ThresholdJob {
  const float* weight = nullptr;  ///< [rows, columns] contiguous, after all earlier errors
  const float* v_diag = nullptr;  ///< [columns] V_jj, 0 for a dead column; the score is w² V_jj²
  int64_t rows = 0;
  int64_t columns = 0;            ///< rows * columns < 2^32
  int64_t zeros = 0;              ///< k, 0 <= k <= rows * columns
  void* workspace = nullptr;      ///< threshold_workspace_bytes(), aligned to 8 bytes
  ScoreKey* threshold = nullptr;  ///< [1] out: exactly k keys are below it
};

/// One panel of the column loop: a block of at most kPanelColumns columns, or part of a wider one.
struct PanelJob {
  int64_t rows = 0;
  int64_t columns = 0;           ///< 1 <= columns <= kPanelColumns
  const float* start = nullptr;  ///< [rows, columns] W1: the weights after all earlier errors
  int64_t start_stride = 0;
  const float* u = nullptr;  ///< [columns, columns] U = V^-1, read right of the diagonal only
  int64_t u_stride = 0;
  const float* v_diag = nullptr;  ///< [columns] V_jj = 1 / U_jj, 0 for a dead column
  float* weight = nullptr;        ///< [rows, columns] dense weights in, Q out
  bool keep_zeros = false;        ///< prune dense weights of 0 whatever their score
  int64_t weight_stride = 0;
  float* removed = nullptr;  ///< [rows, columns] out: dense weight - Q
  int64_t removed_stride = 0;
  bool* mask = nullptr;  ///< [rows, columns] out: true = pruned
  int64_t mask_stride = 0;
  double* row_loss = nullptr;  ///< [rows] err²/2 is added, by one writer per row: reproducible

  // Kept weights are rounded to n * scale, n whole, low <= n <= high; see GroupGrids.
  const float* scale = nullptr;  ///< [groups, rows]; nullptr: kept weights are not rounded
  const float* low = nullptr;    ///< [groups, rows]
  const float* high = nullptr;   ///< [groups, rows]
  int64_t group_size = 0;
  int64_t first_column = 0;        ///< the panel's first column within the layer
  double* row_rounding = nullptr;  ///< [rows] as row_loss, of the kept weights only

  // Unstructured (prunem == 0): the mask follows from the weights at block entry.
  const ScoreKey* threshold = nullptr;  ///< [1] from choose_threshold for the block
  const float* entry = nullptr;  ///< [rows, block_columns] contiguous, ThresholdJob's weights
  int64_t block_columns = 0;
  int64_t block_offset = 0;  ///< the panel's first column within the block

  // N:M: the prunen smallest scores of each prunem columns, chosen at the first of them.
  int64_t prunen = 0;
  int64_t prunem = 0;  ///< divides columns
};

int64_t threshold_workspace_bytes();

/// Both launch on `stream` (a cudaStream_t) and return without waiting for the device.
/// @return nullptr, or CUDA's text for the launch that failed
const char* launch_choose_threshold(const ThresholdJob& job, void* stream);
const char* launch_prune_panel(const PanelJob& job, void* stream);

}  // namespace prune::solver::detail
