#pragma once

#include <cstdint>

// The layout of a packed matrix and the kernels that read it (src/kernels/README.md, "Packed matrices").
namespace prune::kernels::detail {

/// Rows of a block, one for each lane of a vector of floats.
inline constexpr int64_t kBlockRows = 16;
/// Most tokens that a product takes at once.
inline constexpr int64_t kMostTokens = 8;
/// Columns are padded to a multiple of this, or of the group of codes.
inline constexpr int64_t kColumnStep = 16;
/// Bytes behind a block's last value that kernels may read.
inline constexpr int64_t kReadableBytes = 64;
/// Activations are rounded to whole numbers of at most this magnitude: 127 in each of two bytes, the higher one first.
inline constexpr int kLargestActivation = 127 * 256;

enum class Element { kBFloat16, kFloat16, kCode8, kCode4 };

inline constexpr bool is_code(Element element) {
  return element == Element::kCode8 || element == Element::kCode4;
}
inline constexpr int64_t bits_of(Element element) {
  return element == Element::kCode4 ? 4 : element == Element::kCode8 ? 8 : 16;
}
/// Columns of a tile.
inline constexpr int64_t tile_cols(Element element) { return is_code(element) ? 4 : 2; }
/// What is added to a code so that it is not negative.
inline constexpr int code_offset(Element element) { return element == Element::kCode8 ? 128 : 8; }
/// A matrix of tiles: blocks of 16 rows, in each block the tiles from left to right. All arrays are aligned to 64 bytes.
struct Tiles {
  Element element = Element::kBFloat16;
  int64_t rows = 0;
  int64_t cols = 0;  ///< padded
  const void* mask =
      nullptr;  ///< [blocks, tiles] uint32 (16-bit elements) or uint64 (codes); null: all are kept
  const uint8_t* values = nullptr;
  const int64_t* starts = nullptr;   ///< [blocks] offset of each block's values in bytes
  int64_t group = 0;                 ///< columns that share a scale, a multiple of 32; codes only
  bool scales_are_half = false;      ///< float16, else bfloat16
  const uint16_t* scales = nullptr;  ///< [blocks, groups, 16]

  int64_t tiles() const { return cols / tile_cols(element); }
  int64_t groups() const { return cols / group; }
  int64_t blocks() const { return (rows + kBlockRows - 1) / kBlockRows; }
};

/// Activations of 1, 2, 4 or 8 tokens, zero in padded columns. Tokens are innermost: rows of 4096 floats would share
/// the sets of the L1 cache.
struct Activations {
  int64_t tokens = 1;
  const float* x = nullptr;  ///< [cols, tokens]; for 16-bit elements
  // For codes: x = step (256 high + low) in each group.
  const int32_t* high = nullptr;  ///< [cols / 4, tokens], four int8 each
  const int32_t* low = nullptr;
  const float* step = nullptr;          ///< [groups, tokens]
  const int32_t* high_start = nullptr;  ///< [groups, tokens] -code_offset times the sum of high
  const int32_t* low_start = nullptr;
};

inline constexpr int64_t kTileBytes = 64;

/// Calls call<element, masked>() with the matrix's.
template <class Call>
void with_form(const Tiles& weight, const Call& call) {
  const auto as = [&]<Element kElement>() {
    if (weight.mask != nullptr) return call.template operator()<kElement, true>();
    return call.template operator()<kElement, false>();
  };
  switch (weight.element) {
    case Element::kBFloat16:
      return as.template operator()<Element::kBFloat16>();
    case Element::kFloat16:
      return as.template operator()<Element::kFloat16>();
    case Element::kCode8:
      return as.template operator()<Element::kCode8>();
    case Element::kCode4:
      return as.template operator()<Element::kCode4>();
  }
}

/// What rounds activations to whole numbers; see Activations.
struct RoundedActivations {
  int32_t* high;
  int32_t* low;
  float* step;
  int32_t* high_start;
  int32_t* low_start;
};

/// The code for one instruction set. Results are the same for all of them, to the last bit, for every number of tokens.
struct TileKernels {
  /// Products of blocks [first, end). @param y [tokens, stride], rows padded to 16
  void (*multiply)(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                   int64_t first, int64_t end);
  /// Writes the elements of one block's first `rows` rows and first `cols` columns. @param to [rows, stride] float32
  void (*expand)(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
                 int64_t stride);
  /// Rounds the activations of one group. @param x [group, tokens]
  void (*round)(const float* x, int64_t group, int64_t tokens, int code_offset,
                const RoundedActivations& to);
  /// Writes the elements of a dense tile that are not zero side by side, and up to 64 bytes behind them.
  /// @param tile 64 bytes, in the order of the mask's bits. @return the tile's mask
  uint64_t (*compress)(Element element, const uint8_t* tile, uint8_t* to);
};

const TileKernels& tile_kernels_avx512();
const TileKernels& tile_kernels_avx2();
const TileKernels& tile_kernels_portable();

/// The fastest of them that this CPU runs.
const TileKernels& tile_kernels();

}  // namespace prune::kernels::detail
