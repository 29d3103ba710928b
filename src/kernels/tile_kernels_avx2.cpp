// Compiled with AVX2, FMA and F16C.
//
// A byte of the mask selects how eight elements are spread: vpshufb with an index from a table. Tiles are expanded into a
// buffer in the L1 cache, from where every token multiplies them.

#include <immintrin.h>

#include <algorithm>
#include <array>

#include "compress_tile.h"
#include "round_activations.h"
#include "tiles.h"

namespace prune::kernels::detail {
namespace {

// Columns that are expanded at once.
constexpr int64_t kWideCols = 16;
constexpr int64_t kCodeTiles = 8;
constexpr uint8_t kZeroByte = 0x80;  // to vpshufb

// For each mask byte the indices that put consecutive elements of kSize bytes to the bits that are set; `first` is the
// place of the first element.
template <int kSize>
constexpr std::array<std::array<uint8_t, 8 * kSize>, 256> spread_table(uint8_t first) {
  std::array<std::array<uint8_t, 8 * kSize>, 256> table = {};
  for (size_t mask = 0; mask < 256; ++mask) {
    uint8_t next = first;
    for (size_t bit = 0; bit < 8; ++bit) {
      for (size_t byte = 0; byte < kSize; ++byte) {
        table[mask][bit * kSize + byte] = (mask >> bit & 1U) != 0 ? next++ : kZeroByte;
      }
    }
  }
  return table;
}

alignas(64) constexpr auto kSpreadWide = spread_table<2>(0);
alignas(64) constexpr auto kSpreadCodes = spread_table<1>(0);
alignas(64) constexpr auto kSpreadUpperCodes = spread_table<1>(8);

__m128i load16(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
__m128i load8(const void* from) { return _mm_loadl_epi64(static_cast<const __m128i*>(from)); }

// Columns of sixteen floats.
using WideColumns = float[kWideCols][kBlockRows];

// Reads the tiles of 16-bit elements of one block.
template <Element kElement, bool kMasked>
class WideTiles {
 public:
  WideTiles(const Tiles& weight, int64_t block)
      : mask_(kMasked ? static_cast<const uint8_t*>(weight.mask) + 4 * block * weight.tiles()
                      : nullptr),
        next_(weight.values + weight.starts[block]) {}

  void read(WideColumns& columns) {
    _mm_prefetch(reinterpret_cast<const char*>(next_) + 1024, _MM_HINT_T0);
    for (int64_t c = 0; c < kWideCols; c += 2) {
      const __m128i a = eight(), b = eight(), d = eight(), e = eight();
      if constexpr (kElement == Element::kFloat16) {
        _mm256_storeu_ps(columns[c], _mm256_cvtph_ps(a));
        _mm256_storeu_ps(columns[c] + 8, _mm256_cvtph_ps(b));
        _mm256_storeu_ps(columns[c + 1], _mm256_cvtph_ps(d));
        _mm256_storeu_ps(columns[c + 1] + 8, _mm256_cvtph_ps(e));
      } else {
        widen(_mm256_set_m128i(b, a), columns[c], columns[c + 1]);
        widen(_mm256_set_m128i(e, d), columns[c] + 8, columns[c + 1] + 8);
      }
    }
  }

 private:
  __m128i eight() {
    const __m128i values = load16(next_);
    if constexpr (kMasked) {
      const uint8_t mask = *mask_++;
      next_ += 2 * __builtin_popcount(mask);
      return _mm_shuffle_epi8(values, load16(kSpreadWide[mask].data()));
    } else {
      next_ += 16;
      return values;
    }
  }

  static void widen(__m256i tile, float* even, float* odd) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(even), _mm256_slli_epi32(tile, 16));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(odd),
                        _mm256_and_si256(tile, _mm256_set1_epi32(static_cast<int>(0xffff0000U))));
  }

  const uint8_t* mask_;
  const uint8_t* next_;
};

// Tiles of code + code_offset.
using CodeBytes = uint8_t[kCodeTiles][4 * kBlockRows];

// Reads the tiles of codes of one block; pruned ones are the code 0.
template <Element kElement, bool kMasked>
class CodeTiles {
 public:
  CodeTiles(const Tiles& weight, int64_t block)
      : mask_(kMasked ? static_cast<const uint8_t*>(weight.mask) + 8 * block * weight.tiles()
                      : nullptr),
        next_{weight.values + weight.starts[block], weight.values + weight.starts[block]} {}

  void read(CodeBytes& tiles) {
    _mm_prefetch(reinterpret_cast<const char*>(next_[0]) + 1024, _MM_HINT_T0);
    for (int64_t t = 0; t < kCodeTiles; ++t) {
      for (int64_t part = 0; part < 4; ++part) {
        auto* to = reinterpret_cast<__m128i*>(tiles[t] + 16 * part);
        _mm_storeu_si128(to, sixteen(kElement == Element::kCode4 && t % 2 == 1));
      }
    }
  }

 private:
  __m128i sixteen(bool high_nibbles) {
    const uint8_t*& next = next_[high_nibbles ? 1 : 0];
    __m128i values, spread = _mm_setzero_si128();
    if constexpr (kMasked) {
      const uint8_t first = mask_[0], second = mask_[1];
      mask_ += 2;
      const __m128i lower = load8(next);
      next += __builtin_popcount(first);
      values = _mm_unpacklo_epi64(lower, load8(next));
      next += __builtin_popcount(second);
      spread = _mm_unpacklo_epi64(load8(kSpreadCodes[first].data()),
                                  load8(kSpreadUpperCodes[second].data()));
    } else {
      values = load16(next);
      next += 16;
    }
    if constexpr (kElement == Element::kCode4) {
      if (high_nibbles) values = _mm_srli_epi16(values, 4);
      values = _mm_and_si128(values, _mm_set1_epi8(15));
    }
    if constexpr (kMasked) {
      // vpshufb makes pruned ones 0, which stands for the code 0 if the offset's bit is flipped before and after.
      const __m128i offset = _mm_set1_epi8(static_cast<char>(code_offset(kElement)));
      values = _mm_xor_si128(_mm_shuffle_epi8(_mm_xor_si128(values, offset), spread), offset);
    }
    return values;
  }

  const uint8_t* mask_;
  const uint8_t* next_[2];  // where tiles with even and with odd numbers go on
};

__m256 scales_of(const Tiles& weight, int64_t block, int64_t group, int64_t half) {
  const __m128i bits =
      load16(weight.scales + (block * weight.groups() + group) * kBlockRows + 8 * half);
  if (weight.scales_are_half) return _mm256_cvtph_ps(bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

template <Element kElement, bool kMasked>
void multiply_wide(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                   int64_t block) {
  WideTiles<kElement, kMasked> tiles(weight, block);
  alignas(32) float sum[kMostTokens][4][kBlockRows] = {};
  for (int64_t c = 0; c < weight.cols; c += kWideCols) {
    alignas(32) WideColumns columns;
    tiles.read(columns);
    const float* at = x.x + c * x.tokens;
    for (int64_t u = 0; u < x.tokens; ++u) {
      for (int64_t quarter = 0; quarter < 4; ++quarter) {
        float* to = sum[u][quarter];
        __m256 lower = _mm256_load_ps(to), upper = _mm256_load_ps(to + 8);
        for (int64_t j = quarter; j < kWideCols; j += 4) {
          const __m256 activation = _mm256_set1_ps(at[j * x.tokens + u]);
          lower = _mm256_fmadd_ps(_mm256_load_ps(columns[j]), activation, lower);
          upper = _mm256_fmadd_ps(_mm256_load_ps(columns[j] + 8), activation, upper);
        }
        _mm256_store_ps(to, lower);
        _mm256_store_ps(to + 8, upper);
      }
    }
  }
  for (int64_t u = 0; u < x.tokens; ++u) {
    for (int64_t i = 0; i < kBlockRows; ++i) {
      y[u * stride + block * kBlockRows + i] =
          (sum[u][0][i] + sum[u][1][i]) + (sum[u][2][i] + sum[u][3][i]);
    }
  }
}

// Sums of the products of eight rows' bytes with four activations in each tile.
template <Element kElement>
__m256i dot(const CodeBytes& tiles, int64_t half, const int32_t* x, int64_t tokens) {
  const __m256i ones = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
  // Sums of 16 bits hold eight tiles of nibbles: 8 x 2 x 15 x 128 < 2^15.
  __m256i low = _mm256_setzero_si256(), high = low;
  for (int64_t t = 0; t < kCodeTiles; ++t) {
    const __m256i bytes =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tiles[t] + 32 * half));
    const __m256i four = _mm256_set1_epi32(x[t * tokens]);
    if constexpr (kElement == Element::kCode4) {
      low = _mm256_add_epi16(low, _mm256_maddubs_epi16(bytes, four));
    } else {
      const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
      low = _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_and_si256(bytes, nibble), four));
      high = _mm256_add_epi16(high, _mm256_maddubs_epi16(upper, four));
    }
  }
  low = _mm256_madd_epi16(low, ones);
  if constexpr (kElement == Element::kCode4) return low;
  return _mm256_add_epi32(low, _mm256_slli_epi32(_mm256_madd_epi16(high, ones), 4));
}

template <Element kElement, bool kMasked>
void multiply_codes(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                    int64_t block) {
  const int64_t group_tiles = weight.group / tile_cols(kElement);
  CodeTiles<kElement, kMasked> tiles(weight, block);
  alignas(32) float sum[kMostTokens][kBlockRows] = {};
  for (int64_t group = 0; group < weight.groups(); ++group) {
    alignas(32) int32_t high[kMostTokens][kBlockRows], low[kMostTokens][kBlockRows];
    for (int64_t u = 0; u < x.tokens; ++u) {
      std::fill_n(high[u], kBlockRows, x.high_start[group * x.tokens + u]);
      std::fill_n(low[u], kBlockRows, x.low_start[group * x.tokens + u]);
    }
    for (int64_t t = group * group_tiles; t < (group + 1) * group_tiles; t += kCodeTiles) {
      CodeBytes bytes;
      tiles.read(bytes);
      for (int64_t u = 0; u < x.tokens; ++u) {
        for (int64_t half = 0; half < 2; ++half) {
          const auto add = [&](int32_t* to, const int32_t* from) {
            auto* at = reinterpret_cast<__m256i*>(to + 8 * half);
            const __m256i more = dot<kElement>(bytes, half, from + t * x.tokens + u, x.tokens);
            _mm256_store_si256(at, _mm256_add_epi32(_mm256_load_si256(at), more));
          };
          add(high[u], x.high);
          add(low[u], x.low);
        }
      }
    }
    for (int64_t u = 0; u < x.tokens; ++u) {
      for (int64_t half = 0; half < 2; ++half) {
        const auto of = [&](const int32_t* sums) {
          return _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + 8 * half));
        };
        const __m256i whole = _mm256_add_epi32(of(low[u]), _mm256_slli_epi32(of(high[u]), 8));
        const __m256 scale = _mm256_mul_ps(scales_of(weight, block, group, half),
                                           _mm256_set1_ps(x.step[group * x.tokens + u]));
        float* to = sum[u] + 8 * half;
        _mm256_store_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), scale, _mm256_load_ps(to)));
      }
    }
  }
  for (int64_t u = 0; u < x.tokens; ++u) {
    std::copy_n(sum[u], kBlockRows, y + u * stride + block * kBlockRows);
  }
}

__m256 rounded(__m256 x, bool to_half) {
  if (to_half) {
    return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff)));
  return _mm256_castsi256_ps(
      _mm256_and_si256(sum, _mm256_set1_epi32(static_cast<int>(0xffff0000U))));
}

// Copies columns to the rows of a matrix.
void store_columns(const WideColumns& columns, int64_t count, int64_t rows, float* to,
                   int64_t stride) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < count; ++j) to[i * stride + j] = columns[j][i];
  }
}

template <Element kElement, bool kMasked>
void expand_wide(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
                 int64_t stride) {
  WideTiles<kElement, kMasked> tiles(weight, block);
  for (int64_t c = 0; c < cols; c += kWideCols) {
    alignas(32) WideColumns columns;
    tiles.read(columns);
    store_columns(columns, std::min(kWideCols, cols - c), rows, to + c, stride);
  }
}

template <Element kElement, bool kMasked>
void expand_codes(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
                  int64_t stride) {
  CodeTiles<kElement, kMasked> tiles(weight, block);
  constexpr int64_t kCols = kCodeTiles * 4;
  const __m256i offset = _mm256_set1_epi32(code_offset(kElement));
  for (int64_t c = 0; c < cols; c += kCols) {
    CodeBytes bytes;
    tiles.read(bytes);
    for (int64_t part = 0; part < kCols; part += kWideCols) {
      alignas(32) WideColumns columns;
      for (int64_t j = 0; j < kWideCols; ++j) {
        for (int64_t half = 0; half < 2; ++half) {
          const uint8_t* tile = bytes[(part + j) / 4] + 32 * half;
          const __m256i dwords = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile));
          const __m256i byte = _mm256_and_si256(
              _mm256_srli_epi32(dwords, static_cast<int>(8 * (j % 4))), _mm256_set1_epi32(255));
          const __m256 w = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(byte, offset)),
                                         scales_of(weight, block, c / weight.group, half));
          _mm256_store_ps(columns[j] + 8 * half, rounded(w, weight.scales_are_half));
        }
      }
      const int64_t count = std::clamp<int64_t>(cols - c - part, 0, kWideCols);
      store_columns(columns, count, rows, to + c + part, stride);
    }
  }
}

void multiply(const Tiles& weight, const Activations& x, float* y, int64_t stride, int64_t first,
              int64_t end) {
  with_form(weight, [&]<Element kElement, bool kMasked>() {
    for (int64_t block = first; block < end; ++block) {
      if constexpr (is_code(kElement)) {
        multiply_codes<kElement, kMasked>(weight, x, y, stride, block);
      } else {
        multiply_wide<kElement, kMasked>(weight, x, y, stride, block);
      }
    }
  });
}

void expand(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
            int64_t stride) {
  with_form(weight, [&]<Element kElement, bool kMasked>() {
    if constexpr (is_code(kElement)) {
      expand_codes<kElement, kMasked>(weight, block, rows, cols, to, stride);
    } else {
      expand_wide<kElement, kMasked>(weight, block, rows, cols, to, stride);
    }
  });
}

}  // namespace

const TileKernels& tile_kernels_avx2() {
  static constexpr TileKernels kKernels = {&multiply, &expand, &round_activations, &compress_tile};
  return kKernels;
}

}  // namespace prune::kernels::detail
