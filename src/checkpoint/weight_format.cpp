#include <fmt/format.h>
#include <prune/checkpoint/pack_quantized.h>
#include <prune/checkpoint/weight_format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>

#include <map>

namespace prune::checkpoint {
namespace {

using Kind = WeightFormat::Kind;

/// `weight_block_size`: [rows, cols], null for one scale per matrix. Without the key Transformers takes 128 x 128.
void read_block_size(const json& config, WeightFormat& format) {
  constexpr const char* kKey = "weight_block_size";
  constexpr int64_t kLargest = int64_t{1} << 24;
  format.block_rows = format.block_cols = 128;
  if (!config.contains(kKey)) return;
  const json& size = config.at(kKey);
  if (size.is_null()) {
    format.block_rows = format.block_cols = 0;
    return;
  }
  const auto is_length = [](const json& length) {
    return is_integer<int64_t>(length) && length.get<int64_t>() >= 1 &&
           length.get<int64_t>() <= kLargest;
  };
  if (!size.is_array() || size.size() != 2 || !is_length(size[0]) || !is_length(size[1])) {
    throw_json_error(kKey, fmt::format("is {}, not two positive numbers", printable(size.dump())));
  }
  format.block_rows = size[0].get<int64_t>();
  format.block_cols = size[1].get<int64_t>();
}

}  // namespace

WeightFormat read_weight_format(const json& config) {
  static const std::map<std::string, Kind> kOfTransformers = {
      {"fp8", Kind::kFp8}, {"mxfp8", Kind::kFp8}, {"mxfp4", Kind::kMxfp4}};
  static const std::map<std::string, Kind> kOfCompressedTensors = {
      {"nvfp4-pack-quantized", Kind::kNvfp4Packed},
      {"mxfp4-pack-quantized", Kind::kMxfp4Packed},
      {"mxfp8-quantized", Kind::kMxfp8Quantized}};
  const auto method = value_or<std::string>(config, "quant_method", "");
  const bool compressed = method == "compressed-tensors";
  const auto& kinds = compressed ? kOfCompressedTensors : kOfTransformers;
  const auto found = kinds.find(compressed ? value_or<std::string>(config, "format", "") : method);
  if (found == kinds.end()) return {.quantization = read_quantization(config)};
  WeightFormat format{.kind = found->second};
  if (format.kind == Kind::kFp8) read_block_size(config, format);
  return format;
}

std::string describe(const WeightFormat& format) {
  switch (format.kind) {
    case Kind::kPackQuantized:
      return fmt::format("integers of {} bits (pack-quantized)", format.quantization.wbits);
    case Kind::kFp8:
      return format.block_rows == 0 ? "FP8 with a scale for each matrix"
                                    : fmt::format("FP8 with a scale for each {} x {} block",
                                                  format.block_rows, format.block_cols);
    case Kind::kMxfp4:
    case Kind::kMxfp4Packed:
      return "MXFP4";
    case Kind::kNvfp4Packed:
      return "NVFP4";
    case Kind::kMxfp8Quantized:
      return "MXFP8";
  }
  return "";
}

}  // namespace prune::checkpoint
