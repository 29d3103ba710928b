#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/core/quantization.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

// Weights in compressed-tensors' format pack-quantized (FORMATS §8.2): `X.weight` [rows, cols] becomes
//
//   X.weight_packed      int32 [rows, ceil(cols * wbits / 32)]   the codes, densely, + 2^(wbits-1)
//   X.weight_scale       [rows, groups]                          in the dtype of the dense weight
//   X.weight_zero_point  int32 [ceil(rows * wbits / 32), groups] packed down the rows; asymmetric only
//   X.weight_shape       int64 [2]                               rows, cols
namespace prune::checkpoint {

/// Packs whole numbers in [-2^(wbits-1), 2^(wbits-1)) row by row, the first into the lowest bits of the
/// first word; the bits after a row's last are zero.
/// @param codes [rows, cols] int8, CPU @return [rows, ceil(cols * wbits / 32)] int32
Tensor pack_codes(const Tensor& codes, int64_t wbits);
/// The reverse. @param cols as were packed
Tensor unpack_codes(const Tensor& packed, int64_t wbits, int64_t cols);

/// A quantized weight, all on the CPU.
struct QuantizedWeight {
  Tensor codes;  ///< [rows, cols] int8
  Tensor scale;  ///< [rows, groups] in the dtype in which it is stored
  Tensor zero;   ///< [rows, groups] int8
};

/// (code - zero) * scale, rounded once to the scale's dtype: what compressed-tensors computes.
Tensor dequantize(const QuantizedWeight& weight);

/// Names, dtypes and shapes of what stands for `layer`.weight [rows, cols] of this dtype.
std::vector<TensorInfo> packed_infos(const std::string& layer, int64_t rows, int64_t cols,
                                     at::ScalarType dtype, const Quantization& how);
/// The tensors themselves, in the order of packed_infos().
std::vector<std::pair<std::string, Tensor>> packed_tensors(const std::string& layer,
                                                           const QuantizedWeight& weight,
                                                           const Quantization& how);

/// The reverse. @param tensors as packed_tensors() gave them @param shape [rows, cols]
QuantizedWeight unpacked(const std::vector<std::pair<std::string, Tensor>>& tensors,
                         at::IntArrayRef shape, const Quantization& how);

/// config.json's quantization_config. @param ignored names of linear layers that are not quantized
nlohmann::json quantization_config(const Quantization& how,
                                   const std::vector<std::string>& ignored);
/// What config.json's quantization_config says. @throws Error(input) for everything but pack-quantized
/// integer weights of one width.
Quantization read_quantization(const nlohmann::json& config);

}  // namespace prune::checkpoint
