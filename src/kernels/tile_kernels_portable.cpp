// Plain loops, for processors without AVX2; their order of additions is that of the vector kernels.

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <array>
#include <cmath>
#include <utility>

#include "compress_tile.h"
#include "round_activations.h"
#include "tiles.h"

namespace prune::kernels::detail {
namespace {

float from_bits(uint16_t bits, bool half) {
  return half ? static_cast<float>(c10::Half(bits, c10::Half::from_bits()))
              : static_cast<float>(c10::BFloat16(bits, c10::BFloat16::from_bits()));
}

/// Reads the kept elements of one block, tile by tile.
class BlockReader {
 public:
  BlockReader(const Tiles& weight, int64_t block)
      : weight_(&weight), block_(block), values_(weight.values + weight.starts[block]) {}

  /// Calls visit(i, j, stored element) for the kept elements of tile t; the tiles in their sequence.
  template <class Visit>
  void visit_tile(int64_t t, const Visit& visit) {
    const Element element = weight_->element;
    const int64_t cols = tile_cols(element);
    const uint64_t mask = mask_of(t);
    for (int64_t bit = 0; bit < kBlockRows * cols; ++bit) {
      if ((mask >> bit & 1U) == 0) continue;
      const bool by_column = element == Element::kFloat16;
      const int64_t i = by_column ? bit % kBlockRows : bit / cols;
      const int64_t j = by_column ? bit / kBlockRows : bit % cols;
      visit(i, j, next(t));
    }
  }

 private:
  uint64_t mask_of(int64_t t) const {
    if (weight_->mask == nullptr) return ~uint64_t{0};
    const int64_t at = block_ * weight_->tiles() + t;
    if (is_code(weight_->element)) return static_cast<const uint64_t*>(weight_->mask)[at];
    return static_cast<const uint32_t*>(weight_->mask)[at];
  }

  int next(int64_t t) {
    switch (weight_->element) {
      case Element::kCode4: {
        const uint8_t byte = values_[at_[static_cast<size_t>(t % 2)]++];
        return t % 2 == 0 ? byte & 15 : byte >> 4;
      }
      case Element::kCode8:
        return values_[at_[0]++];
      default: {
        uint16_t value;
        std::memcpy(&value, values_ + 2 * at_[0]++, sizeof(value));
        return value;
      }
    }
  }

  const Tiles* weight_;
  int64_t block_;
  const uint8_t* values_;
  std::array<int64_t, 2> at_ = {0,
                                0};  // next element; of codes of 4 bits in each of the two streams
};

float scale_of(const Tiles& weight, int64_t block, int64_t group, int64_t row) {
  return from_bits(weight.scales[(block * weight.groups() + group) * kBlockRows + row],
                   weight.scales_are_half);
}

using ByRow = std::array<float, kBlockRows>;

void multiply_wide(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                   int64_t block) {
  const bool half = weight.element == Element::kFloat16;
  std::array<std::array<ByRow, 4>, kMostTokens> sum = {};  // of every fourth column
  BlockReader reader(weight, block);
  for (int64_t t = 0; t < weight.tiles(); ++t) {
    const float* at = x.x + 2 * t * x.tokens;
    reader.visit_tile(t, [&](int64_t i, int64_t j, int bits) {
      const float w = from_bits(static_cast<uint16_t>(bits), half);
      for (int64_t u = 0; u < x.tokens; ++u) {
        const auto quarter = static_cast<size_t>((2 * t + j) % 4);
        float& to = sum[static_cast<size_t>(u)][quarter][static_cast<size_t>(i)];
        to = std::fma(w, at[j * x.tokens + u], to);
      }
    });
  }
  for (int64_t u = 0; u < x.tokens; ++u) {
    const auto& of_token = sum[static_cast<size_t>(u)];
    for (size_t i = 0; i < kBlockRows; ++i) {
      y[u * stride + block * kBlockRows + static_cast<int64_t>(i)] =
          (of_token[0][i] + of_token[1][i]) + (of_token[2][i] + of_token[3][i]);
    }
  }
}

int byte_of(const int32_t* four, int64_t j) {
  int8_t bytes[4];
  std::memcpy(bytes, four, sizeof(bytes));
  return bytes[j];
}

void multiply_codes(const Tiles& weight, const Activations& x, float* y, int64_t stride,
                    int64_t block) {
  const int offset = code_offset(weight.element);
  const int64_t group_tiles = weight.group / tile_cols(weight.element);
  std::array<ByRow, kMostTokens> sum = {};
  BlockReader reader(weight, block);
  for (int64_t group = 0; group < weight.groups(); ++group) {
    std::array<std::array<int32_t, kBlockRows>, kMostTokens> whole = {};
    for (int64_t t = group * group_tiles; t < (group + 1) * group_tiles; ++t) {
      reader.visit_tile(t, [&](int64_t i, int64_t j, int stored) {
        for (int64_t u = 0; u < x.tokens; ++u) {
          const int activation =
              256 * byte_of(x.high + t * x.tokens + u, j) + byte_of(x.low + t * x.tokens + u, j);
          whole[static_cast<size_t>(u)][static_cast<size_t>(i)] += (stored - offset) * activation;
        }
      });
    }
    for (int64_t u = 0; u < x.tokens; ++u) {
      for (int64_t i = 0; i < kBlockRows; ++i) {
        float& to = sum[static_cast<size_t>(u)][static_cast<size_t>(i)];
        to = std::fma(static_cast<float>(whole[static_cast<size_t>(u)][static_cast<size_t>(i)]),
                      scale_of(weight, block, group, i) * x.step[group * x.tokens + u], to);
      }
    }
  }
  for (int64_t u = 0; u < x.tokens; ++u) {
    for (int64_t i = 0; i < kBlockRows; ++i) {
      y[u * stride + block * kBlockRows + i] = sum[static_cast<size_t>(u)][static_cast<size_t>(i)];
    }
  }
}

void multiply(const Tiles& weight, const Activations& x, float* y, int64_t stride, int64_t first,
              int64_t end) {
  for (int64_t block = first; block < end; ++block) {
    if (is_code(weight.element)) {
      multiply_codes(weight, x, y, stride, block);
    } else {
      multiply_wide(weight, x, y, stride, block);
    }
  }
}

float rounded(float x, bool to_half) {
  return to_half ? static_cast<float>(static_cast<c10::Half>(x))
                 : static_cast<float>(static_cast<c10::BFloat16>(x));
}

void expand(const Tiles& weight, int64_t block, int64_t rows, int64_t cols, float* to,
            int64_t stride) {
  for (int64_t i = 0; i < rows; ++i) std::fill_n(to + i * stride, cols, 0.0F);
  BlockReader reader(weight, block);
  const bool codes = is_code(weight.element);
  const int offset = code_offset(weight.element);
  for (int64_t t = 0; t < weight.tiles(); ++t) {
    reader.visit_tile(t, [&](int64_t i, int64_t j, int stored) {
      const int64_t col = t * tile_cols(weight.element) + j;
      if (i >= rows || col >= cols) return;
      if (codes) {
        const float scale = scale_of(weight, block, col / weight.group, i);
        to[i * stride + col] =
            rounded(static_cast<float>(stored - offset) * scale, weight.scales_are_half);
      } else {
        to[i * stride + col] =
            from_bits(static_cast<uint16_t>(stored), weight.element == Element::kFloat16);
      }
    });
  }
}

}  // namespace

const TileKernels& tile_kernels_portable() {
  static constexpr TileKernels kKernels = {&multiply, &expand, &round_activations, &compress_tile};
  return kKernels;
}

}  // namespace prune::kernels::detail
