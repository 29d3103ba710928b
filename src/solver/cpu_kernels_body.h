#pragma once

#include <cassert>
#include <cstring>

#include "cpu_kernels.h"

// The vector code of the CPU twin. A tile holds 16 rows side by side, one per vector lane. Within a
// panel of 8 columns each error is applied at once; the columns right of the panel take all 8
// errors in one pass, with the errors in registers. src/solver/README.md, "CPU kernels", compares
// the variants that were measured.
//
// One source file per instruction set includes this and is compiled with that set's flags: GCC
// splits wide vectors by the flags of the file, before it inlines. For the same reason nothing of
// the standard library may be instantiated here: the linker could pick that copy for every CPU.

// The ABI of vector arguments does not matter: all these functions are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace prune::solver::detail {
namespace {

static_assert(kTileRows == 16);
typedef float Lanes __attribute__((vector_size(kTileRows * sizeof(float)), may_alias));
typedef int32_t Ints __attribute__((vector_size(kTileRows * sizeof(int32_t)), may_alias));
typedef int8_t Bytes __attribute__((vector_size(kTileRows)));

constexpr int64_t kPanel = 8;

// A tile of the block and its mask (all bits set = kept), by column.
struct Tile {
  Lanes weight[kMaxBlocksize];
  Ints keep[kMaxBlocksize];
};

template <class Vector, class Element>
inline Vector load_lanes(const Element* from, int64_t lanes) {
  Vector vector{};
  if (lanes == kTileRows) {
    std::memcpy(&vector, from, sizeof(Vector));
  } else {
    std::memcpy(&vector, from, static_cast<size_t>(lanes) * sizeof(Element));
  }
  return vector;
}

template <class Vector, class Element>
inline void store_lanes(const Vector& vector, Element* to, int64_t lanes) {
  if (lanes == kTileRows) {
    std::memcpy(to, &vector, sizeof(Vector));
  } else {
    std::memcpy(to, &vector, static_cast<size_t>(lanes) * sizeof(Element));
  }
}

inline Ints score_bits_of(const Lanes& weight, float scale) {
  return (Ints)(weight * weight * scale) & 0x7fffffff;
}

inline int64_t collect_scores(const ScoreColumn& column, const ScoreRange& range, uint64_t* keys,
                              int64_t& below) {
  const auto low = static_cast<int32_t>(range.low);
  const auto high = static_cast<int32_t>(range.high);
  Ints below_lanes{};
  int64_t found = 0;
  for (int64_t row = 0; row < column.rows; row += kTileRows) {
    const int64_t rows_left = column.rows - row;
    const int64_t lanes = rows_left < kTileRows ? rows_left : kTileRows;
    Ints bits = score_bits_of(load_lanes<Lanes>(column.weights + row, lanes), column.scale);
    // Lanes beyond the last row must not count.
    for (int64_t lane = lanes; lane < kTileRows; ++lane) bits[lane] = -1;
    below_lanes -= (bits < low) & (bits >= 0);
    // Few weights are in the range, so eight lanes are tested as one word.
    const Bytes hits = __builtin_convertvector((bits >= low) & (bits <= high) & (bits >= 0), Bytes);
    uint64_t words[2];
    std::memcpy(words, &hits, sizeof(words));
    for (int64_t half = 0; half < 2; ++half) {
      for (uint64_t word = words[half]; word != 0;) {
        const int64_t lane = half * 8 + __builtin_ctzll(word) / 8;
        word &= ~(uint64_t{0xff} << (__builtin_ctzll(word) / 8 * 8));
        keys[found++] = static_cast<uint64_t>(static_cast<uint32_t>(bits[lane])) << 32 |
                        static_cast<uint64_t>((row + lane) * column.count + column.index);
      }
    }
  }
  for (int64_t lane = 0; lane < kTileRows; ++lane) below += below_lanes[lane];
  return found;
}

// Lanes above the threshold. `index` is the weight's row-major index in the block.
inline Ints kept(const Ints& bits, const Ints& index, const ScoreThreshold& threshold) {
  const auto last_bits = static_cast<int32_t>(threshold.score_bits);
  const auto last_index = static_cast<int32_t>(threshold.index);
  return (bits > last_bits) | ((bits == last_bits) & (index > last_index));
}

inline void load_tile(const ColumnBlock& block, int64_t first_row, int64_t tile_rows, Tile& tile) {
  const bool by_threshold = block.prunem == 0 && block.prune_any;
  Ints index{};
  for (int64_t r = 0; r < kTileRows; ++r) {
    index[r] = static_cast<int32_t>((first_row + r) * block.count);
  }
  for (int64_t j = 0; j < block.count; ++j, index += 1) {
    const Lanes w = load_lanes<Lanes>(block.block_t + j * block.rows + first_row, tile_rows);
    tile.weight[j] = w;
    tile.keep[j] =
        by_threshold ? kept(score_bits_of(w, block.scale[j]), index, block.threshold) : ~Ints{};
    if (block.zero_t == nullptr) continue;
    const Bytes zero = load_lanes<Bytes>(block.zero_t + j * block.rows + first_row, tile_rows);
    tile.keep[j] &= __builtin_convertvector(zero, Ints) - 1;
  }
}

inline void store_tile(const ColumnBlock& block, int64_t first_row, int64_t tile_rows,
                       const Tile& tile) {
  for (int64_t j = 0; j < block.count; ++j) {
    const int64_t offset = j * block.rows + first_row;
    const Lanes dense = load_lanes<Lanes>(block.weight_t + offset, tile_rows);
    store_lanes(dense - tile.weight[j], block.block_t + offset, tile_rows);
    store_lanes(tile.weight[j], block.weight_t + offset, tile_rows);
    store_lanes(__builtin_convertvector(tile.keep[j] + 1, Bytes), block.mask_t + offset, tile_rows);
  }
}

// Prunes the prunen smallest scores of the prunem columns from `first` on in each row; of equal
// scores the smaller column goes first. Zeros that stay are pruned already and come before all others.
inline void choose_n_of_m(const ColumnBlock& block, int64_t first, Tile& tile) {
  for (int64_t r = 0; r < kTileRows; ++r) {
    float scores[kMaxBlocksize];
    for (int64_t i = 0; i < block.prunem; ++i) {
      const float w = tile.weight[first + i][r];
      scores[i] = tile.keep[first + i][r] == 0 ? -1.0F : w * w * block.scale[first + i];
    }
    for (int64_t i = 0; i < block.prunem; ++i) {
      int64_t rank = 0;
      for (int64_t other = 0; other < block.prunem; ++other) {
        rank += scores[other] < scores[i] || (scores[other] == scores[i] && other < i) ? 1 : 0;
      }
      if (rank < block.prunen) tile.keep[first + i][r] = 0;
    }
  }
}

// The grids of one group, one lane per row of the tile.
struct TileGrid {
  Lanes scale;
  Lanes low;
  Lanes high;
};

inline TileGrid load_grid(const ColumnBlock& block, int64_t group, int64_t first_row,
                          int64_t tile_rows) {
  const int64_t offset = group * block.rows + first_row;
  TileGrid grid = {load_lanes<Lanes>(block.grid.scale_t + offset, tile_rows),
                   load_lanes<Lanes>(block.grid.low_t + offset, tile_rows),
                   load_lanes<Lanes>(block.grid.high_t + offset, tile_rows)};
  // Lanes beyond the last row hold zeros; a scale of 1 avoids 0 / 0.
  for (int64_t lane = tile_rows; lane < kTileRows; ++lane) grid.scale[lane] = 1.0F;
  return grid;
}

// Rounds half to even: adding 1.5 * 2^23 leaves no bits for the fraction of these small numbers.
inline Lanes round_to(const TileGrid& grid, const Lanes& weight) {
  constexpr float kNoFraction = 12582912.0F;
  const Lanes wanted = weight / grid.scale;
  const Lanes above = wanted < grid.low ? grid.low : wanted;
  const Lanes within = above > grid.high ? grid.high : above;
  const Lanes whole = (within + kNoFraction) - kNoFraction;
  return whole * grid.scale;
}

template <int64_t panel, bool rounds>
inline TileLoss loop_body(const ColumnBlock& block, int64_t first_row) {
  assert(block.count <= kMaxBlocksize);
  const int64_t rows_left = block.rows - first_row;
  const int64_t tile_rows = rows_left < kTileRows ? rows_left : kTileRows;
  Tile tile;
  load_tile(block, first_row, tile_rows, tile);
  Lanes loss{};
  Lanes loss_rounding{};
  TileGrid grid{};
  for (int64_t start = 0; start < block.count; start += panel) {
    const int64_t end = start + panel < block.count ? start + panel : block.count;
    Lanes error[panel] = {};
    for (int64_t i = start; i < end; ++i) {
      if (block.prunem != 0 && i % block.prunem == 0) choose_n_of_m(block, i, tile);
      const Lanes w = tile.weight[i];
      if (rounds && i % block.grid.group_size == 0) {
        grid = load_grid(block, i / block.grid.group_size, first_row, tile_rows);
      }
      const Lanes kept = rounds ? round_to(grid, w) : w;
      const Lanes q = (Lanes)((Ints)kept & tile.keep[i]);
      const Lanes e = (w - q) * block.v_diag[i];
      tile.weight[i] = q;
      error[i - start] = e;
      loss += e * e;
      if (rounds) loss_rounding += (Lanes)((Ints)(e * e) & tile.keep[i]);
      for (int64_t j = i + 1; j < end; ++j) tile.weight[j] -= e * block.u_t[j * block.count + i];
    }
    if (end - start == panel) {
      for (int64_t j = end; j < block.count; ++j) {
        const float* u = block.u_t + j * block.count + start;
        Lanes sum = tile.weight[j];
        for (int64_t i = 0; i < panel; ++i) sum -= error[i] * u[i];
        tile.weight[j] = sum;
      }
    }
  }
  store_tile(block, first_row, tile_rows, tile);
  TileLoss sum;
  for (int64_t r = 0; r < kTileRows; ++r) {
    sum.total += static_cast<double>(loss[r]) / 2;
    sum.rounding += static_cast<double>(loss_rounding[r]) / 2;
  }
  return sum;
}

template <int64_t panel>
inline TileLoss loop_body(const ColumnBlock& block, int64_t first_row) {
  return block.grid.scale_t != nullptr ? loop_body<panel, true>(block, first_row)
                                       : loop_body<panel, false>(block, first_row);
}

// An N:M group is chosen when the loop reaches its first column, after all earlier errors. Within a
// panel that holds if groups and panels share their boundaries; otherwise the panel is one column.
inline TileLoss column_loop(const ColumnBlock& block, int64_t first_row) {
  const bool aligned =
      block.prunem == 0 || kPanel % block.prunem == 0 || block.prunem % kPanel == 0;
  return aligned ? loop_body<kPanel>(block, first_row) : loop_body<1>(block, first_row);
}

}  // namespace
}  // namespace prune::solver::detail
