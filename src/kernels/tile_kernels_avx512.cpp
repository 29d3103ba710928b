// Compiled with AVX-512 F, DQ, VL, BW, VBMI2 and VNNI.
//
// Sixteen rows are the lanes of a vector, and an activation is broadcast to them: no sums across lanes, one pointer to
// the values of sixteen rows. vpexpand puts the kept values of a tile into their lanes. A vpexpand whose result is used
// at once takes twice as long on Zen 4 as in two phases, so several tiles are expanded before they are multiplied; an
// empty asm keeps the compiler from mixing the phases again.

#include <immintrin.h>

#include "round_activations.h"
#include "tiles.h"

namespace prune::kernels::detail {
namespace {

#define PRUNE_UNROLL _Pragma("GCC unroll 16")

// How far ahead of the values in use memory is fetched, in bytes (measured on Zen 5).
constexpr int64_t kAheadOfWide = 8192;
constexpr int64_t kAheadOfCodes = 2048;

__m512i load(const void* from) {
  __m512i v = _mm512_loadu_si512(from);
  // Keeps the load apart from vpexpand, whose memory form is slower.
  asm("" : "+v"(v));
  return v;
}

// A mask in a general register: clang would load it into a mask register and move it from there to count its bits.
template <class Mask>
Mask in_register(Mask mask) {
  asm("" : "+r"(mask));
  return mask;
}

void fetch(const void* from) { _mm_prefetch(static_cast<const char*>(from), _MM_HINT_T0); }

template <int kTiles>
void end_of_phase(__m512i (&tile)[kTiles]) {
  PRUNE_UNROLL
  for (int i = 0; i < kTiles; ++i) asm volatile("" : "+v"(tile[i]));
}

// The two columns of a tile of 16-bit elements.
template <Element kElement>
void widen(__m512i tile, __m512& even, __m512& odd) {
  if constexpr (kElement == Element::kFloat16) {
    even = _mm512_cvtph_ps(_mm512_castsi512_si256(tile));
    odd = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(tile, 1));
  } else {
    even = _mm512_castsi512_ps(_mm512_slli_epi32(tile, 16));
    odd = _mm512_castsi512_ps(
        _mm512_and_si512(tile, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
  }
}

// Reads the tiles of 16-bit elements of one block.
template <bool kMasked>
class WideTiles {
 public:
  WideTiles(const Tiles& weight, int64_t block)
      : mask_(kMasked ? static_cast<const uint32_t*>(weight.mask) + block * weight.tiles()
                      : nullptr),
        next_(reinterpret_cast<const uint16_t*>(weight.values + weight.starts[block])) {}

  template <int kTiles>
  void read(__m512i (&tile)[kTiles]) {
    fetch(reinterpret_cast<const char*>(next_) + kAheadOfWide);
    fetch(reinterpret_cast<const char*>(next_) + kAheadOfWide + 64);
    if constexpr (kMasked) {
      fetch(reinterpret_cast<const char*>(mask_) + kAheadOfWide / 4);
    } else {
      PRUNE_UNROLL
      for (int i = 2; i < kTiles; ++i) {
        fetch(reinterpret_cast<const char*>(next_) + kAheadOfWide + 64 * i);
      }
    }
    PRUNE_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      if constexpr (kMasked) {
        const uint32_t mask = in_register(mask_[i]);
        tile[i] = _mm512_maskz_expand_epi16(mask, load(next_));
        next_ += __builtin_popcount(mask);
      } else {
        tile[i] = load(next_);
        next_ += 32;
      }
    }
    if constexpr (kMasked) mask_ += kTiles;
    end_of_phase(tile);
  }

 private:
  const uint32_t* mask_;
  const uint16_t* next_;
};

// Reads the tiles of codes of one block, as code + code_offset in bytes; pruned ones are the code 0.
template <Element kElement, bool kMasked>
class CodeTiles {
 public:
  CodeTiles(const Tiles& weight, int64_t block)
      : mask_(kMasked ? static_cast<const uint64_t*>(weight.mask) + block * weight.tiles()
                      : nullptr),
        even_(weight.values + weight.starts[block]),
        odd_(even_) {}

  template <int kTiles>
  void read(__m512i (&tile)[kTiles]) {
    static_assert(kTiles % 2 == 0);
    const __m512i none = _mm512_set1_epi8(static_cast<char>(code_offset(kElement)));
    const __m512i nibble = _mm512_set1_epi8(15);
    fetch(even_ + kAheadOfCodes);
    fetch(even_ + kAheadOfCodes + 64);
    if constexpr (kElement == Element::kCode8) fetch(even_ + kAheadOfCodes + 128);
    if constexpr (kMasked) fetch(reinterpret_cast<const char*>(mask_) + kAheadOfCodes);
    PRUNE_UNROLL
    for (int i = 0; i < kTiles; i += 2) {
      uint64_t first = ~uint64_t{0}, second = first;
      if constexpr (kMasked) {
        first = in_register(mask_[i]);
        second = in_register(mask_[i + 1]);
      }
      __m512i low, high;
      if constexpr (kElement == Element::kCode8) {
        low = load(even_);
        even_ += __builtin_popcountll(first);
        high = load(even_);
        even_ += __builtin_popcountll(second);
      } else {
        // Tiles with even numbers are the low nibbles of the stream, the others its high ones.
        low = _mm512_and_si512(load(even_), nibble);
        high = _mm512_and_si512(_mm512_srli_epi16(load(odd_), 4), nibble);
        even_ += __builtin_popcountll(first);
        odd_ += __builtin_popcountll(second);
      }
      if constexpr (kMasked) {
        tile[i] = _mm512_mask_expand_epi8(none, first, low);
        tile[i + 1] = _mm512_mask_expand_epi8(none, second, high);
      } else {
        tile[i] = low;
        tile[i + 1] = high;
      }
    }
    if constexpr (kMasked) mask_ += kTiles;
    end_of_phase(tile);
  }

 private:
  const uint64_t* mask_;
  const uint8_t* even_;
  const uint8_t* odd_;
};

// @param group counted over all blocks
__m512 scales_of(const Tiles& weight, int64_t group) {
  const uint16_t* from = weight.scales + group * kBlockRows;
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  if (weight.scales_are_half) return _mm512_cvtph_ps(half);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Tokens [token, token + kTokens) of the activations. Four sums for each, of every fourth column, hide the latency of
// vfmadd.
template <Element kElement, bool kMasked, int kTokens>
void multiply_wide(const Tiles& weight, const Activations& x, int64_t token, float* y,
                   int64_t stride, int64_t block) {
  constexpr int kPhase = 8;
  const int64_t all = weight.tiles();
  const int64_t tokens = x.tokens;
  WideTiles<kMasked> tiles(weight, block);
  __m512 sum[kTokens][4];
  PRUNE_UNROLL
  for (int u = 0; u < kTokens; ++u) {
    PRUNE_UNROLL
    for (int i = 0; i < 4; ++i) sum[u][i] = _mm512_setzero_ps();
  }
  const float* at = x.x + token;
  for (int64_t t = 0; t < all; t += kPhase) {
    __m512i tile[kPhase];
    tiles.read(tile);
    PRUNE_UNROLL
    for (int i = 0; i < kPhase; ++i) {
      __m512 left, right;
      widen<kElement>(tile[i], left, right);
      PRUNE_UNROLL
      for (int u = 0; u < kTokens; ++u) {
        __m512& even = sum[u][2 * (i % 2)];
        __m512& odd = sum[u][2 * (i % 2) + 1];
        even = _mm512_fmadd_ps(left, _mm512_set1_ps(at[u]), even);
        odd = _mm512_fmadd_ps(right, _mm512_set1_ps(at[tokens + u]), odd);
      }
      at += 2 * tokens;
    }
  }
  PRUNE_UNROLL
  for (int u = 0; u < kTokens; ++u) {
    _mm512_storeu_ps(
        y + (token + u) * stride + block * kBlockRows,
        _mm512_add_ps(_mm512_add_ps(sum[u][0], sum[u][1]), _mm512_add_ps(sum[u][2], sum[u][3])));
  }
}

template <Element kElement, bool kMasked, int kTokens>
void multiply_codes(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                    int64_t first, int64_t end) {
  constexpr int kPhase = kTokens >= 4 ? 4 : 8;
  // Several sums of each kind hide the latency of vpdpbusd where tokens alone do not.
  constexpr int kSums = kTokens <= 2 ? 2 : 1;
  const int64_t group_tiles = weight.group / tile_cols(kElement);
  const int64_t groups = weight.groups();
  for (int64_t block = first; block < end; ++block) {
    CodeTiles<kElement, kMasked> tiles(weight, block);
    __m512 sum[kTokens];
    PRUNE_UNROLL
    for (int u = 0; u < kTokens; ++u) sum[u] = _mm512_setzero_ps();
    const int32_t* at_high = x.high;
    const int32_t* at_low = x.low;
    for (int64_t group = 0; group < groups; ++group) {
      __m512i high[kSums][kTokens], low[kSums][kTokens];
      PRUNE_UNROLL
      for (int u = 0; u < kTokens; ++u) {
        high[0][u] = _mm512_set1_epi32(x.high_start[group * kTokens + u]);
        low[0][u] = _mm512_set1_epi32(x.low_start[group * kTokens + u]);
        PRUNE_UNROLL
        for (int i = 1; i < kSums; ++i) high[i][u] = low[i][u] = _mm512_setzero_si512();
      }
      for (int64_t t = 0; t < group_tiles; t += kPhase) {
        __m512i tile[kPhase];
        tiles.read(tile);
        PRUNE_UNROLL
        for (int i = 0; i < kPhase; ++i) {
          PRUNE_UNROLL
          for (int u = 0; u < kTokens; ++u) {
            __m512i& to_high = high[i % kSums][u];
            __m512i& to_low = low[i % kSums][u];
            to_high = _mm512_dpbusd_epi32(to_high, tile[i], _mm512_set1_epi32(at_high[u]));
            to_low = _mm512_dpbusd_epi32(to_low, tile[i], _mm512_set1_epi32(at_low[u]));
          }
          at_high += kTokens;
          at_low += kTokens;
        }
      }
      const __m512 scale = scales_of(weight, block * groups + group);
      PRUNE_UNROLL
      for (int u = 0; u < kTokens; ++u) {
        __m512i of_high = high[0][u], of_low = low[0][u];
        PRUNE_UNROLL
        for (int i = 1; i < kSums; ++i) {
          of_high = _mm512_add_epi32(of_high, high[i][u]);
          of_low = _mm512_add_epi32(of_low, low[i][u]);
        }
        const __m512i whole = _mm512_add_epi32(of_low, _mm512_slli_epi32(of_high, 8));
        const __m512 step = _mm512_set1_ps(x.step[group * kTokens + u]);
        sum[u] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_mul_ps(scale, step), sum[u]);
      }
    }
    PRUNE_UNROLL
    for (int u = 0; u < kTokens; ++u) {
      _mm512_storeu_ps(y + u * stride + block * kBlockRows, sum[u]);
    }
  }
}

template <Element kElement, bool kMasked, int kTokens>
void multiply_tokens(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                     int64_t first, int64_t end) {
  if constexpr (is_code(kElement)) {
    multiply_codes<kElement, kMasked, kTokens>(weight, x, y, stride, first, end);
  } else {
    // Eight tokens have too many sums for the registers.
    constexpr int kAtOnce = kTokens < 4 ? kTokens : 4;
    for (int64_t block = first; block < end; ++block) {
      for (int64_t token = 0; token < kTokens; token += kAtOnce) {
        multiply_wide<kElement, kMasked, kAtOnce>(weight, x, token, y, stride, block);
      }
    }
  }
}

template <Element kElement, bool kMasked>
void multiply_as(const Tiles& weight, const Activations& x, float* y, int64_t stride, int64_t first,
                 int64_t end) {
  switch (x.tokens) {
    case 1:
      return multiply_tokens<kElement, kMasked, 1>(weight, x, y, stride, first, end);
    case 2:
      return multiply_tokens<kElement, kMasked, 2>(weight, x, y, stride, first, end);
    case 4:
      return multiply_tokens<kElement, kMasked, 4>(weight, x, y, stride, first, end);
    default:
      return multiply_tokens<kElement, kMasked, 8>(weight, x, y, stride, first, end);
  }
}

// Columns become rows: lane i of column j goes to lane j of row i.
void transpose_(__m512 (&v)[16]) {
  __m512 t[16];
  PRUNE_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
  }
  PRUNE_UNROLL
  for (int i = 0; i < 16; i += 4) {
    const auto pair = [&](int a, int b, bool high) {
      const __m512d x = _mm512_castps_pd(t[a]), y = _mm512_castps_pd(t[b]);
      return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
    };
    v[i] = pair(i, i + 2, false);
    v[i + 1] = pair(i, i + 2, true);
    v[i + 2] = pair(i + 1, i + 3, false);
    v[i + 3] = pair(i + 1, i + 3, true);
  }
  // v[4 k + r] now holds, for q = 0 ... 3, rows 4 q + r of columns 4 k ... 4 k + 3.
  PRUNE_UNROLL
  for (int r = 0; r < 4; ++r) {
    const __m512 a = _mm512_shuffle_f32x4(v[r], v[4 + r], 0x44);
    const __m512 b = _mm512_shuffle_f32x4(v[8 + r], v[12 + r], 0x44);
    const __m512 c = _mm512_shuffle_f32x4(v[r], v[4 + r], 0xee);
    const __m512 d = _mm512_shuffle_f32x4(v[8 + r], v[12 + r], 0xee);
    t[r] = _mm512_shuffle_f32x4(a, b, 0x88);
    t[4 + r] = _mm512_shuffle_f32x4(a, b, 0xdd);
    t[8 + r] = _mm512_shuffle_f32x4(c, d, 0x88);
    t[12 + r] = _mm512_shuffle_f32x4(c, d, 0xdd);
  }
  PRUNE_UNROLL
  for (int i = 0; i < 16; ++i) v[i] = t[i];
}

// Rounds to bfloat16, ties to even.
__m512 to_bfloat16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
  return _mm512_castsi512_ps(
      _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
}

__m512 to_float16(__m512 x) {
  return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// The next 16 columns of a block as floats.
template <Element kElement, bool kMasked>
void sixteen_columns(WideTiles<kMasked>& tiles, __m512 /*scale*/, bool /*to_half*/,
                     __m512 (&column)[16]) {
  __m512i tile[8];
  tiles.read(tile);
  PRUNE_UNROLL
  for (int i = 0; i < 8; ++i) widen<kElement>(tile[i], column[2 * i], column[2 * i + 1]);
}

template <Element kElement, bool kMasked>
void sixteen_columns(CodeTiles<kElement, kMasked>& tiles, __m512 scale, bool to_half,
                     __m512 (&column)[16]) {
  __m512i tile[4];
  tiles.read(tile);
  const __m512i offset = _mm512_set1_epi32(code_offset(kElement));
  PRUNE_UNROLL
  for (int i = 0; i < 4; ++i) {
    PRUNE_UNROLL
    for (int j = 0; j < 4; ++j) {
      const __m512i byte = _mm512_and_si512(
          _mm512_srli_epi32(tile[i], static_cast<unsigned>(8 * j)), _mm512_set1_epi32(255));
      const __m512 w = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(byte, offset)), scale);
      column[4 * i + j] = to_half ? to_float16(w) : to_bfloat16(w);
    }
  }
}

template <Element kElement, bool kMasked>
void expand_as(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
               int64_t stride) {
  using Reader =
      std::conditional_t<is_code(kElement), CodeTiles<kElement, kMasked>, WideTiles<kMasked>>;
  Reader tiles(weight, block);
  __m512 scale = _mm512_setzero_ps();
  for (int64_t c = 0; c < cols; c += 16) {
    if constexpr (is_code(kElement)) {
      if (c % weight.group == 0)
        scale = scales_of(weight, block * weight.groups() + c / weight.group);
    }
    __m512 column[16];
    sixteen_columns<kElement, kMasked>(tiles, scale, weight.scales_are_half, column);
    transpose_(column);
    const int64_t width = cols - c < 16 ? cols - c : 16;
    const auto within = static_cast<__mmask16>((1U << width) - 1);
    if (rows == kBlockRows && width == 16) {
      PRUNE_UNROLL
      for (int i = 0; i < 16; ++i) _mm512_storeu_ps(to + i * stride + c, column[i]);
    } else {
      for (int64_t i = 0; i < rows; ++i) {
        _mm512_mask_storeu_ps(to + i * stride + c, within, column[i]);
      }
    }
  }
}

void multiply(const Tiles& weight, const Activations& x, float* y, int64_t stride, int64_t first,
              int64_t end) {
  with_form(weight, [&]<Element kElement, bool kMasked>() {
    multiply_as<kElement, kMasked>(weight, x, y, stride, first, end);
  });
}

void expand(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
            int64_t stride) {
  with_form(weight, [&]<Element kElement, bool kMasked>() {
    expand_as<kElement, kMasked>(weight, block, rows, cols, to, stride);
  });
}

// One token's activations lie side by side, and so do their bytes.
void round_one(const float* x, int64_t group, int offset, const RoundedActivations& to) {
  __m512 largest = _mm512_setzero_ps(), poison = _mm512_setzero_ps();
  for (int64_t c = 0; c < group; c += 16) {
    const __m512 at = _mm512_loadu_ps(x + c);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(at));
    poison = _mm512_fmadd_ps(at, _mm512_setzero_ps(), poison);
  }
  const RoundingStep step(_mm512_reduce_max_ps(largest), _mm512_reduce_add_ps(poison));
  *to.step = step.size;
  const __m512 inverse = _mm512_set1_ps(step.inverse);
  __m512i high_sum = _mm512_setzero_si512(), low_sum = _mm512_setzero_si512();
  for (int64_t c = 0; c < group; c += 16) {
    const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + c), inverse));
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(128)), 8);
    const __m512i low = _mm512_sub_epi32(whole, _mm512_slli_epi32(high, 8));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to.high + c / 4), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to.low + c / 4), _mm512_cvtepi32_epi8(low));
    high_sum = _mm512_add_epi32(high_sum, high);
    low_sum = _mm512_add_epi32(low_sum, low);
  }
  *to.high_start = -offset * _mm512_reduce_add_epi32(high_sum);
  *to.low_start = -offset * _mm512_reduce_add_epi32(low_sum);
}

void round(const float* x, int64_t group, int64_t tokens, int offset,
           const RoundedActivations& to) {
  if (tokens == 1) return round_one(x, group, offset, to);
  round_activations(x, group, tokens, offset, to);
}

uint64_t compress(Element element, const uint8_t* tile, uint8_t* to) {
  const __m512i all = _mm512_loadu_si512(tile);
  if (is_code(element)) {
    const auto none = static_cast<char>(code_offset(element));
    const __mmask64 kept = _mm512_cmpneq_epi8_mask(all, _mm512_set1_epi8(none));
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi8(kept, all));
    return kept;
  }
  const __mmask32 kept = _mm512_test_epi16_mask(all, _mm512_set1_epi16(0x7fff));
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi16(kept, all));
  return kept;
}

}  // namespace

const TileKernels& tile_kernels_avx512() {
  static constexpr TileKernels kKernels = {&multiply, &expand, &round, &compress};
  return kKernels;
}

}  // namespace prune::kernels::detail
