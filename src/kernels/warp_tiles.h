#pragma once

#include <cstdint>

#include "tiles.h"

// The layout of a packed matrix on a GPU (src/kernels/README.md, "On a GPU") and the interface of the kernels that read
// it. It needs neither torch nor CUDA headers, so nvcc compiles the kernels without ATen. Pointers are device memory.
namespace prune::kernels::detail {

/// Columns of a tile, which one warp multiplies; its rows are kBlockRows.
inline constexpr int64_t kWarpCols = 128;
/// Columns of half a tile. Scales may differ between the halves.
inline constexpr int64_t kHalfCols = 64;

/// Lane 4 g + t of a warp holds rows g and g + 8 of the columns 16 t to 16 t + 15 of each half, in four octets: octet j is
/// both rows of columns 4 j to 4 j + 3.
inline constexpr int kOctets = 4;

enum class Arrangement {
  kMasked,  ///< a mask and the kept elements
  kBalanced,  ///< codes of 4 bits of which at most kBalancedKept are kept in each run of kBalancedRun columns
  kDense,  ///< codes, all of them
};
inline constexpr int64_t kBalancedRun = 16;
inline constexpr int64_t kBalancedKept = 4;

/// Bytes in front of a masked record's scales: of each half and octet, how many elements of its stream precede it.
inline constexpr int64_t kStartsBytes = 16;
inline constexpr int64_t kMaskBytes = 256;

inline constexpr int64_t scales_bytes(int groups_per_tile) { return 32 * groups_per_tile; }

/// Position of the bit of an octet's element in its half's word of the mask.
/// @param row 0 or 1: row g or g + 8. @param col 0 to 3
inline constexpr int mask_bit(Element element, int octet, int row, int col) {
  if (is_code(element)) return 4 * (4 * row + col) + octet;
  return 8 * (2 * row + col % 2) + 2 * octet + col / 2;
}

/// A matrix as records, one for each tile: blocks of 16 rows, in each the tiles from left to right.
struct WarpTiles {
  Element element = Element::kBFloat16;
  Arrangement arrangement = Arrangement::kMasked;
  int64_t rows = 0;
  int64_t cols = 0;  ///< not padded
  bool is_half =
      false;  ///< 16-bit elements, scales, activations and products are float16, else bfloat16
  int groups_per_tile = 0;   ///< codes: 1, or 2 if a scale belongs to 64 columns; else 0
  int64_t record_bytes = 0;  ///< of the largest record, a multiple of 16
  const uint8_t* records = nullptr;
  const uint32_t* starts = nullptr;  ///< [blocks, tiles + 1] where a record begins, in 16 bytes

  constexpr int64_t blocks() const { return (rows + kBlockRows - 1) / kBlockRows; }
  constexpr int64_t tiles() const { return (cols + kWarpCols - 1) / kWarpCols; }
  constexpr int64_t padded_cols() const { return tiles() * kWarpCols; }
  constexpr int64_t groups() const { return tiles() * groups_per_tile; }
};

/// How a token's activations of one group were rounded: x = step (256 high + low).
struct alignas(16) GroupOfToken {
  float step;
  int32_t high_start;  ///< -8 times the sum of high, for codes of 4 bits; else 0
  int32_t low_start;
  int32_t unused;
};

/// A product of at most kMostTokens tokens.
struct WarpProduct {
  WarpTiles weight;
  int64_t tokens = 0;
  const uint16_t* x = nullptr;   ///< 16-bit elements: [tokens, padded_cols], aligned to 16 bytes
  const int8_t* high = nullptr;  ///< codes: [tokens, padded_cols]
  const int8_t* low = nullptr;
  const GroupOfToken* group = nullptr;  ///< codes: [groups, kMostTokens]
  const uint16_t* bias = nullptr;       ///< [rows] or null
  uint16_t* y = nullptr;                ///< [tokens, rows]
};

/// What rounds activations for codes.
struct WarpRounding {
  WarpTiles weight;
  int64_t tokens = 0;
  const uint16_t* x = nullptr;  ///< [tokens, cols]
  int8_t* high = nullptr;       ///< [tokens, padded_cols]
  int8_t* low = nullptr;
  GroupOfToken* group = nullptr;  ///< [groups, kMostTokens]
};

/// All launch on `stream` (a cudaStream_t) and return without waiting for the device.
/// @return nullptr, or CUDA's text for the launch that failed
const char* launch_round(const WarpRounding& job, void* stream);
const char* launch_multiply(const WarpProduct& job, void* stream);
/// @param to [16 blocks, padded_cols] elements, or codes times scales, of 16 bits
const char* launch_expand(const WarpTiles& weight, uint16_t* to, void* stream);

}  // namespace prune::kernels::detail
