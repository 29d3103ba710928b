#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/parallel.h>

#include "bit_stream.h"

namespace prune::checkpoint {
namespace {

constexpr const char* kFormat = "pack-quantized";

int64_t words_for(int64_t count, int64_t wbits) { return (count * wbits + 31) / 32; }

Error refused(const std::string& what) {
  return {ErrorKind::kInput,
          fmt::format("the checkpoint is quantized ({}); what can be read is FP8 in blocks, MXFP8, "
                      "MXFP4, NVFP4, and {} weights with one scheme of 2 to 8 bits",
                      what, kFormat)};
}

template <class Row>
void for_each_row(int64_t rows, int64_t cols, const Row& row) {
  constexpr int64_t kWeightsAtLeast = 1 << 16;
  parallel_for(0, rows, std::max<int64_t>(1, kWeightsAtLeast / std::max<int64_t>(1, cols)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) row(r);
               });
}

}  // namespace

Tensor pack_codes(const Tensor& codes, int64_t wbits) {
  const Tensor rows_of_codes = codes.contiguous();
  const int64_t rows = codes.size(0);
  const int64_t cols = codes.size(1);
  Tensor packed = at::empty({rows, words_for(cols, wbits)}, at::kInt);
  const auto* from = rows_of_codes.const_data_ptr<int8_t>();
  auto* to = reinterpret_cast<uint32_t*>(packed.mutable_data_ptr<int32_t>());
  const int offset = 1 << (wbits - 1);
  for_each_row(rows, cols, [&](int64_t r) {
    BitWriter<uint32_t> bits(to + r * packed.size(1));
    for (int64_t c = 0; c < cols; ++c) {
      bits.put(static_cast<uint32_t>(from[r * cols + c] + offset), static_cast<int>(wbits));
    }
    bits.finish();
  });
  return packed;
}

Tensor unpack_codes(const Tensor& packed, int64_t wbits, int64_t cols) {
  const Tensor words = packed.contiguous();
  const int64_t rows = packed.size(0);
  Tensor codes = at::empty({rows, cols}, at::kChar);
  const auto* from = reinterpret_cast<const uint32_t*>(words.const_data_ptr<int32_t>());
  auto* to = codes.mutable_data_ptr<int8_t>();
  const int offset = 1 << (wbits - 1);
  for_each_row(rows, cols, [&](int64_t r) {
    BitReader<uint32_t> bits(from + r * words.size(1));
    for (int64_t c = 0; c < cols; ++c) {
      to[r * cols + c] =
          static_cast<int8_t>(static_cast<int>(bits.get(static_cast<int>(wbits))) - offset);
    }
  });
  return codes;
}

std::vector<TensorInfo> packed_infos(const std::string& layer, int64_t rows, int64_t cols,
                                     at::ScalarType dtype, const Quantization& quantization) {
  std::vector<TensorInfo> infos;
  const auto add = [&](const char* part, at::ScalarType part_dtype, std::vector<int64_t> shape) {
    TensorInfo& info = infos.emplace_back();
    info.name = layer + part;
    info.dtype = part_dtype;
    info.size_bytes = element_count(shape) * static_cast<int64_t>(c10::elementSize(part_dtype));
    info.shape = std::move(shape);
  };
  add(".weight_packed", at::kInt, {rows, words_for(cols, quantization.wbits)});
  add(".weight_scale", dtype, {rows, quantization.groups(cols)});
  if (!quantization.symmetric) {
    add(".weight_zero_point", at::kInt,
        {words_for(rows, quantization.wbits), quantization.groups(cols)});
  }
  add(".weight_shape", at::kLong, {2});
  return infos;
}

std::vector<std::pair<std::string, Tensor>> packed_tensors(const std::string& layer,
                                                           const QuantizedWeight& weight,
                                                           const Quantization& quantization) {
  std::vector<std::pair<std::string, Tensor>> parts;
  parts.emplace_back(layer + ".weight_packed", pack_codes(weight.codes, quantization.wbits));
  parts.emplace_back(layer + ".weight_scale", weight.scale);
  if (!quantization.symmetric) {
    parts.emplace_back(layer + ".weight_zero_point",
                       pack_codes(weight.zero.t(), quantization.wbits).t().contiguous());
  }
  parts.emplace_back(layer + ".weight_shape",
                     at::tensor({weight.codes.size(0), weight.codes.size(1)}, at::kLong));
  return parts;
}

QuantizedWeight unpacked(const std::vector<Tensor>& tensors, at::IntArrayRef shape,
                         const Quantization& quantization) {
  const Tensor scale = tensors[1];
  return {.codes = unpack_codes(tensors[0], quantization.wbits, shape[1]),
          .scale = scale,
          .zero = quantization.symmetric
                      ? at::zeros(scale.sizes(), at::kChar)
                      : unpack_codes(tensors[2].t(), quantization.wbits, shape[0]).t()};
}

json quantization_config(const Quantization& quantization,
                         const std::vector<std::string>& ignored) {
  const bool by_row = quantization.group_size < 0;
  const json weights = {{"num_bits", quantization.wbits},
                        {"type", "int"},
                        {"symmetric", quantization.symmetric},
                        {"strategy", by_row ? "channel" : "group"},
                        {"group_size", by_row ? json() : json(quantization.group_size)},
                        {"dynamic", false},
                        {"actorder", nullptr},
                        {"block_structure", nullptr},
                        {"observer", "minmax"},
                        {"observer_kwargs", json::object()}};
  return {
      {"quant_method", "compressed-tensors"},
      {"format", kFormat},
      {"quantization_status", "compressed"},
      {"ignore", ignored},
      {"kv_cache_scheme", nullptr},
      {"global_compression_ratio", nullptr},
      {"sparsity_config", json::object()},
      {"transform_config", json::object()},
      // The first release that packs 3 bits without gaps; 2, 4 and 8 bits were always packed so.
      {"version", "0.18.0"},
      {"config_groups",
       {{"group_0",
         {{"targets", {"Linear"}},
          {"input_activations", nullptr},
          {"output_activations", nullptr},
          {"format", kFormat},
          {"weights", weights}}}}}};
}

bool describes_dense_weights(const json& config) {
  const auto is = [](const json& object, const char* key, const char* value) {
    return value_or<std::string>(object, key, value) == value;
  };
  const bool known = config.contains("quant_method") || config.contains("sparsity_config");
  return known && is(config, "quant_method", "compressed-tensors") &&
         is(config, "format", "dense") && value_or(config, "config_groups", json()).empty() &&
         is(value_or(config, "sparsity_config", json()), "format", "dense");
}

Quantization read_quantization(const json& config) {
  const auto method = value_or<std::string>(config, "quant_method", "not given");
  const auto format = value_or<std::string>(config, "format", "not given");
  if (method != "compressed-tensors" || format != kFormat) {
    throw refused(fmt::format("quant_method '{}', format '{}'", method, format));
  }
  const auto groups = require<json>(config, "config_groups");
  if (!groups.is_object() || groups.size() != 1) throw refused("several config_groups");
  const json& group = groups.front();
  const auto weights = require<json>(group, "weights");
  const auto strategy = value_or<std::string>(weights, "strategy", "not given");
  Quantization quantization;
  quantization.wbits = require<int64_t>(weights, "num_bits");
  quantization.symmetric = value_or(weights, "symmetric", true);
  quantization.group_size = strategy == "group" ? require<int64_t>(weights, "group_size") : -1;
  if (strategy != "group" && strategy != "channel") {
    throw refused(fmt::format("strategy '{}'", strategy));
  }
  if (value_or<std::string>(weights, "type", "int") != "int" || quantization.wbits < 2 ||
      quantization.wbits > 8) {
    throw refused(fmt::format("{} of {} bits", value_or<std::string>(weights, "type", "int"),
                              quantization.wbits));
  }
  if (strategy == "group" && quantization.group_size < 1) {
    throw refused(fmt::format("group_size {}", quantization.group_size));
  }
  if (!value_or(group, "input_activations", json()).is_null()) {
    throw refused("activations are quantized too");
  }
  return quantization;
}

}  // namespace prune::checkpoint
