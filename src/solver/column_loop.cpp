#include "column_loop.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "prune_columns_detail.h"

// Variant C of ENGINEERING §2.1: a tile holds 16 rows side by side, one per vector lane. Inside a panel
// of 8 columns the errors are applied at once; the columns to the right of the panel get all 8 in one
// pass, with the errors in registers. The body is written once in GCC's vector types and compiled for
// three instruction sets, chosen at run time.

namespace prune::solver::detail {
namespace {

typedef float Lanes __attribute__((vector_size(kTileRows * sizeof(float)), may_alias));
static_assert(sizeof(Lanes) == 64);

constexpr int64_t kPanel = 8;

// The tile and its mask (1 = keep, 0 = prune), column by column.
struct Tile {
  Lanes weight[kMaxBlocksize];
  Lanes keep[kMaxBlocksize];
};

[[gnu::always_inline]] inline bool is_pruned(float score, uint32_t index,
                                             const ScoreThreshold& threshold) {
  const uint32_t bits = score_bits_of(score);
  return bits < threshold.score_bits ||
         (bits == threshold.score_bits && index <= threshold.index);
}

[[gnu::always_inline]] inline void load_tile(const ColumnBlock& block, int64_t first_row,
                                             int64_t tile_rows, Tile& tile) {
  for (int64_t j = 0; j < block.count; ++j) {
    const float* source = block.weight_t + j * block.rows + first_row;
    if (tile_rows == kTileRows) {
      std::memcpy(&tile.weight[j], source, sizeof(Lanes));
    } else {
      tile.weight[j] = Lanes{};
      std::memcpy(&tile.weight[j], source, static_cast<size_t>(tile_rows) * sizeof(float));
    }
    tile.keep[j] = Lanes{} + 1.0F;
    if (block.prunem != 0 || !block.prune_any) continue;
    for (int64_t r = 0; r < kTileRows; ++r) {
      const float w = tile.weight[j][r];
      const auto index = static_cast<uint32_t>((first_row + r) * block.count + j);
      if (is_pruned(w * w * block.scale[j], index, block.threshold)) tile.keep[j][r] = 0.0F;
    }
  }
}

[[gnu::always_inline]] inline void store_tile(const ColumnBlock& block, int64_t first_row,
                                              int64_t tile_rows, const Tile& tile) {
  for (int64_t j = 0; j < block.count; ++j) {
    const int64_t offset = j * block.rows + first_row;
    std::memcpy(block.weight_t + offset, &tile.weight[j],
                static_cast<size_t>(tile_rows) * sizeof(float));
    for (int64_t r = 0; r < tile_rows; ++r) {
      block.mask_t[offset + r] = tile.keep[j][r] == 0.0F ? 1 : 0;
    }
  }
}

// Marks the prunen smallest scores of the prunem columns from `first` on, row by row; the smaller
// column goes first among equals.
[[gnu::always_inline]] inline void choose_n_of_m(const ColumnBlock& block, int64_t first,
                                                 Tile& tile) {
  for (int64_t r = 0; r < kTileRows; ++r) {
    for (int64_t j = first; j < first + block.prunem; ++j) {
      const float w = tile.weight[j][r];
      const float score = w * w * block.scale[j];
      int64_t rank = 0;
      for (int64_t other = first; other < first + block.prunem; ++other) {
        const float w_other = tile.weight[other][r];
        const float score_other = w_other * w_other * block.scale[other];
        rank += score_other < score || (score_other == score && other < j) ? 1 : 0;
      }
      if (rank < block.prunen) tile.keep[j][r] = 0.0F;
    }
  }
}

template <int64_t panel>
[[gnu::always_inline]] inline double loop_body(const ColumnBlock& block, int64_t first_row) {
  assert(block.count <= kMaxBlocksize);
  const int64_t tile_rows = std::min(kTileRows, block.rows - first_row);
  alignas(64) Tile tile;
  load_tile(block, first_row, tile_rows, tile);
  Lanes loss{};
  for (int64_t start = 0; start < block.count; start += panel) {
    const int64_t end = std::min(start + panel, block.count);
    Lanes error[panel] = {};
    for (int64_t i = start; i < end; ++i) {
      if (block.prunem != 0 && i % block.prunem == 0) choose_n_of_m(block, i, tile);
      const Lanes w = tile.weight[i];
      const Lanes q = w * tile.keep[i];
      const Lanes e = (w - q) * block.v_diag[i];
      tile.weight[i] = q;
      error[i - start] = e;
      loss += e * e;
      for (int64_t j = i + 1; j < end; ++j) tile.weight[j] -= e * block.u[i * block.count + j];
    }
    if (end - start == panel) {
      const float* u = block.u + start * block.count;
      for (int64_t j = end; j < block.count; ++j) {
        Lanes sum = tile.weight[j];
        for (int64_t i = 0; i < panel; ++i) sum -= error[i] * u[i * block.count + j];
        tile.weight[j] = sum;
      }
    }
  }
  store_tile(block, first_row, tile_rows, tile);
  double total = 0.0;
  for (int64_t r = 0; r < kTileRows; ++r) total += static_cast<double>(loss[r]);
  return total / 2;
}

// An N:M group is chosen when its first column is reached, with all earlier errors applied. That holds
// in a panel if groups and panels share their boundaries; for odd M the panel is one column.
[[gnu::always_inline]] inline double any_panel(const ColumnBlock& block, int64_t first_row) {
  const bool aligned = block.prunem == 0 || kPanel % block.prunem == 0 || block.prunem % kPanel == 0;
  return aligned ? loop_body<kPanel>(block, first_row) : loop_body<1>(block, first_row);
}

[[gnu::target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")]]
double loop_avx512(const ColumnBlock& block, int64_t first_row) {
  return any_panel(block, first_row);
}

[[gnu::target("avx2,fma")]] double loop_avx2(const ColumnBlock& block, int64_t first_row) {
  return any_panel(block, first_row);
}

double loop_portable(const ColumnBlock& block, int64_t first_row) {
  return any_panel(block, first_row);
}

using ColumnLoop = double (*)(const ColumnBlock&, int64_t);

ColumnLoop choose_loop() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
    return loop_avx512;
  }
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? loop_avx2 : loop_portable;
}

}  // namespace

double run_column_loop(const ColumnBlock& block, int64_t first_row) {
  static const ColumnLoop kLoop = choose_loop();
  return kLoop(block, first_row);
}

}  // namespace prune::solver::detail
