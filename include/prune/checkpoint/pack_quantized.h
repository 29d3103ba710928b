#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/core/quantization.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

// compressed-tensors' format pack-quantized (src/checkpoint/README.md, "pack-quantized"). `X.weight`
// [rows, cols] is stored as
//
//   X.weight_packed      int32 [rows, ceil(cols * wbits / 32)]    codes + 2^(wbits-1), without gaps
//   X.weight_scale       [rows, groups]                           dtype of the dense weight
//   X.weight_zero_point  int32 [ceil(rows * wbits / 32), groups]  packed along the rows; asymmetric only
//   X.weight_shape       int64 [2]                                rows, cols
namespace prune::checkpoint {

/// Packs integers in [-2^(wbits-1), 2^(wbits-1)) row by row. Column 0 occupies the lowest bits of the
/// row's first word; unused bits of the last word are zero.
/// @param codes [rows, cols] int8, CPU. @return [rows, ceil(cols * wbits / 32)] int32
Tensor pack_codes(const Tensor& codes, int64_t wbits);
/// Inverse of pack_codes(). @param cols number of columns that were packed. @return [rows, cols] int8
Tensor unpack_codes(const Tensor& packed, int64_t wbits, int64_t cols);

/// Names, dtypes and shapes of the tensors that store `layer`.weight, [rows, cols] of `dtype`.
std::vector<TensorInfo> packed_infos(const std::string& layer, int64_t rows, int64_t cols,
                                     at::ScalarType dtype, const Quantization& quantization);
/// The tensors listed by packed_infos(), in the same sequence.
std::vector<std::pair<std::string, Tensor>> packed_tensors(const std::string& layer,
                                                           const QuantizedWeight& weight,
                                                           const Quantization& quantization);

/// Inverse of packed_tensors(). @param tensors in the sequence of packed_infos(); weight_shape is not needed.
/// @param shape [rows, cols]
QuantizedWeight unpacked(const std::vector<Tensor>& tensors, at::IntArrayRef shape,
                         const Quantization& quantization);

/// Value of config.json's `quantization_config`. @param ignored names of linear layers kept dense
nlohmann::json quantization_config(const Quantization& quantization,
                                   const std::vector<std::string>& ignored);
/// Parses the `quantization_config` of integer weights. @throws Error(input) unless it describes pack-quantized
/// ones with a single scheme of 2 to 8 bits.
Quantization read_quantization(const nlohmann::json& config);
/// True if that value, or `compression_config`, claims a format but no weight is compressed: llm-compressor
/// leaves it beside sparse weights that are stored dense.
bool describes_dense_weights(const nlohmann::json& config);

}  // namespace prune::checkpoint
