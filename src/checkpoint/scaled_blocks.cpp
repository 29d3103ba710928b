#include "scaled_blocks.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Float8_e4m3fn.h>
#include <prune/core/parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "safetensors_dtype.h"

namespace prune::checkpoint {
namespace {

template <class Value>
std::array<float, 256> table(const Value& value) {
  std::array<float, 256> result{};
  for (size_t byte = 0; byte < result.size(); ++byte) {
    result[byte] = value(static_cast<uint8_t>(byte));
  }
  return result;
}

const std::array<float, 256>& e4m3_values() {
  static const auto kValues = table([](uint8_t byte) {
    return static_cast<float>(c10::Float8_e4m3fn(byte, c10::Float8_e4m3fn::from_bits()));
  });
  return kValues;
}

const std::array<float, 256>& e8m0_values() {
  static const auto kValues = table([](uint8_t byte) {
    return byte == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, byte - 127);
  });
  return kValues;
}

constexpr std::array<float, 16> kE2m1Values = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,
                                               4.0F,  6.0F,  -0.0F, -0.5F, -1.0F, -1.5F,
                                               -2.0F, -3.0F, -4.0F, -6.0F};

/// @param values  of the codes. @param code  of the element in column c of a row of bytes: code(bytes, c)
template <size_t kCodes, class Code>
void dequantize_rows(const ScaledBlocks& weight, int64_t index,
                     const std::array<float, kCodes>& values, const Code& code, Tensor& dense) {
  const int64_t rows = dense.size(0);
  const int64_t cols = dense.size(1);
  const int64_t row_bytes = weight.elements.size(2);
  const auto* elements =
      static_cast<const uint8_t*>(weight.elements.const_data_ptr()) + index * rows * row_bytes;
  const Tensor scale = weight.scale.select(0, index).contiguous();
  const auto* scales = scale.const_data_ptr<float>();
  const int64_t blocks_of_row = scale.size(1);
  auto* to = dense.mutable_data_ptr<at::BFloat16>();
  // A large block has each product many times: then it is faster to look it up.
  const bool looks_up = std::min(rows, weight.block_rows) * std::min(cols, weight.block_cols) >=
                        static_cast<int64_t>(2 * kCodes);
  constexpr int64_t kWeightsAtLeast = 1 << 16;
  const int64_t grain = std::max<int64_t>(1, kWeightsAtLeast / std::max<int64_t>(1, cols));
  parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<std::array<at::BFloat16, kCodes>> products(
        looks_up ? static_cast<size_t>(blocks_of_row) : 0);
    for (int64_t r = begin; r < end; ++r) {
      const uint8_t* bytes = elements + r * row_bytes;
      const float* of_block = scales + r / weight.block_rows * blocks_of_row;
      if (r == begin || r % weight.block_rows == 0) {
        for (size_t block = 0; block < products.size(); ++block) {
          std::ranges::transform(values, products[block].begin(), [&](float value) {
            return at::BFloat16(value * of_block[block]);
          });
        }
      }
      for (int64_t first = 0, block = 0; first < cols; first += weight.block_cols, ++block) {
        const int64_t last = std::min(cols, first + weight.block_cols);
        at::BFloat16* row = to + r * cols;
        if (looks_up) {
          const auto& product = products[static_cast<size_t>(block)];
          for (int64_t c = first; c < last; ++c) row[c] = product[code(bytes, c)];
        } else {
          for (int64_t c = first; c < last; ++c) {
            row[c] = at::BFloat16(values[code(bytes, c)] * of_block[block]);
          }
        }
      }
    }
  });
}

void dequantize_matrix(const ScaledBlocks& weight, int64_t index, Tensor& dense) {
  if (weight.is_fp4) {
    const auto code = [](const uint8_t* bytes, int64_t c) {
      return static_cast<size_t>(bytes[c / 2] >> (c % 2 * 4)) & 15U;
    };
    dequantize_rows(weight, index, kE2m1Values, code, dense);
  } else {
    const auto code = [](const uint8_t* bytes, int64_t c) { return static_cast<size_t>(bytes[c]); };
    dequantize_rows(weight, index, e4m3_values(), code, dense);
  }
}

}  // namespace

Tensor dequantize(const ScaledBlocks& weight, bool transposed) {
  const int64_t count = weight.elements.size(0);
  const int64_t rows = weight.elements.size(1);
  const int64_t cols = weight.elements.size(2) * (weight.is_fp4 ? 2 : 1);
  const auto options = at::TensorOptions(at::kBFloat16);
  Tensor dense = transposed ? at::empty({count, cols, rows}, options)
                            : at::empty({count, rows, cols}, options);
  Tensor turned = transposed ? at::empty({rows, cols}, options) : Tensor();
  for (int64_t index = 0; index < count; ++index) {
    Tensor place = dense.select(0, index);
    dequantize_matrix(weight, index, transposed ? turned : place);
    if (transposed) place.copy_(turned.t());
  }
  return dense;
}

Tensor scales_of(const Tensor& stored) {
  if (stored.scalar_type() != at::kByte && !is_e8m0(stored.scalar_type())) {
    return stored.to(at::kFloat).contiguous();
  }
  const Tensor exponents = stored.contiguous();
  Tensor scales = at::empty(stored.sizes(), at::kFloat);
  const auto* from = static_cast<const uint8_t*>(exponents.const_data_ptr());
  std::transform(from, from + exponents.numel(), scales.mutable_data_ptr<float>(),
                 [&values = e8m0_values()](uint8_t byte) { return values[byte]; });
  return scales;
}

}  // namespace prune::checkpoint
