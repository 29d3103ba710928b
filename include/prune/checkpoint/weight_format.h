#pragma once

#include <prune/core/quantization.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace prune::checkpoint {

/// How a checkpoint stores its quantized weights; Checkpoint::dequantize() presents them dense
/// (src/checkpoint/README.md, "Quantized weights").
struct WeightFormat {
  enum class Kind {
    kPackQuantized,  ///< integers in groups: pack_quantized.h
    kFp8,            ///< FP8 or FP4 in blocks: DeepSeek, MXFP8
    kMxfp4,          ///< stacks of FP4 in groups of 32: gpt-oss
    kNvfp4Packed,    ///< compressed-tensors' nvfp4-pack-quantized
    kMxfp4Packed,    ///< compressed-tensors' mxfp4-pack-quantized
    kMxfp8Quantized  ///< compressed-tensors' mxfp8-quantized
  };
  Kind kind = Kind::kPackQuantized;
  Quantization quantization = {};  ///< kPackQuantized
  int64_t block_rows = 0;          ///< kFp8: size of a block; 0: the whole matrix
  int64_t block_cols = 0;
};

/// Parses config.json's `quantization_config`.
/// @throws Error(input) naming what it describes if that is none of the formats above
WeightFormat read_weight_format(const nlohmann::json& config);

/// "FP8 with a scale for each 128 x 128 block" and the like, for people and reports.
std::string describe(const WeightFormat& format);

}  // namespace prune::checkpoint
