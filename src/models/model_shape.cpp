#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>
#include <prune/models/model_shape.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "shape_of.h"

namespace prune::models {
namespace {

/// Fills in the format of quantized weights, or the keys that claim a compression that there is not. The config.json of
/// a wrapper may describe its text model's weights within text_config.
/// @throws Error(input) naming the key if we cannot dequantize the weights
void read_compression(const json& raw, ModelShape& shape) {
  const json text = value_or(raw, "text_config", json());
  for (const auto& [object, prefix] : {std::pair{&raw, ""}, std::pair{&text, "text_config/"}}) {
    for (const char* key : {"quantization_config", "compression_config"}) {
      const json compression = value_or(*object, key, json());
      if (compression.is_null()) continue;
      try {
        if (checkpoint::describes_dense_weights(compression)) {
          shape.stale_keys.push_back(prefix + std::string(key));
        } else {
          if (!shape.weight_format) {
            shape.weight_format = checkpoint::read_weight_format(compression);
          }
          shape.format_keys.push_back(prefix + std::string(key));
        }
      } catch (Error& error) {
        throw error.in(key);
      }
    }
  }
}

// Sizes that shrink together, so that they still fit, and others.
constexpr const char* kWidths[] = {"hidden_size",
                                   "n_embed",
                                   "n_embd",
                                   "num_global_key_value_heads",
                                   "word_embed_proj_dim",
                                   "intermediate_size",
                                   "ffn_dim",
                                   "ffn_hidden_size",
                                   "n_inner",
                                   "moe_intermediate_size",
                                   "shared_expert_intermediate_size",
                                   "q_lora_rank",
                                   "kv_lora_rank",
                                   "num_attention_heads",
                                   "n_head",
                                   "num_key_value_heads",
                                   "num_kv_heads",
                                   "n_head_kv",
                                   "linear_num_key_heads",
                                   "linear_num_value_heads",
                                   "linear_num_heads",
                                   "num_heads",
                                   "mamba_n_heads",
                                   "mamba_num_heads",
                                   "mamba_d_ssm",
                                   "shared_intermediate_size",
                                   "dense_intermediate_size",
                                   "intermediate_size_mlp",
                                   "moe_shared_expert_intermediate_size",
                                   "moe_latent_size",
                                   "share_expert_dim",
                                   "num_attention_groups",
                                   "num_sliding_attention_heads"};
constexpr const char* kOtherSizes[] = {"head_dim",
                                       "qk_nope_head_dim",
                                       "qk_rope_head_dim",
                                       "v_head_dim",
                                       "n_shared_experts",
                                       "num_shared_experts",
                                       "moe_num_shared_experts",
                                       "linear_key_head_dim",
                                       "linear_value_head_dim",
                                       "linear_conv_kernel_dim",
                                       "state_size",
                                       "ssm_state_size",
                                       "mamba_head_dim",
                                       "n_groups",
                                       "conv_kernel",
                                       "expand",
                                       "mamba_n_groups",
                                       "global_head_dim",
                                       "hidden_size_per_layer_input",
                                       "vocab_size_per_layer_input",
                                       "linear_head_dim",
                                       "mamba_d_state",
                                       "mamba_d_conv",
                                       "mamba_expand",
                                       "block_ff_dim",
                                       "conv_L_cache",
                                       "vocab_size",
                                       "max_position_embeddings",
                                       "n_positions",
                                       "rotary_dim"};

/// Sizes from a file are not trusted. Within these bounds no product of two of them overflows, and
/// none of our tables gets larger than the weights.
void reject_absurd_sizes(const json& raw) {
  constexpr int64_t kLargest = int64_t{1} << 24;  // the longest context today is 10 million tokens
  const auto check = [&](const char* key) {
    const int64_t size = value_or<int64_t>(raw, key, 0);
    if (size > kLargest || size < -kLargest) {
      throw_json_error(key, fmt::format("is {}; no model has more than {}", size, kLargest));
    }
  };
  for (const char* const key : kWidths) check(key);
  for (const char* const key : kOtherSizes) check(key);
  constexpr int64_t kMostBlocks = 10'000;
  for (const char* key : {"num_hidden_layers", "n_layer"}) {
    const int64_t blocks = value_or<int64_t>(raw, key, 0);
    if (blocks > kMostBlocks) {
      throw_json_error(key, fmt::format("is {}; no model has more than {}", blocks, kMostBlocks));
    }
  }
}

/// Transformers 5 writes `dtype`, older versions `torch_dtype`.
std::optional<at::ScalarType> read_dtype(const json& raw) {
  const auto name =
      value_or<std::string>(raw, "dtype", value_or<std::string>(raw, "torch_dtype", ""));
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  return std::nullopt;
}

using TensorShapes = std::map<std::string, std::vector<int64_t>>;

/// In double, so that sizes from a hostile config.json cannot overflow.
double count_elements(const TensorShapes& tensors) {
  double elements = 0;
  for (const auto& [name, shape] : tensors) {
    double product = 1;
    for (const int64_t size : shape) product *= static_cast<double>(size);
    elements += product;
  }
  return elements;
}

/// Counts up to this one are exact in double, and their bytes fit into int64_t.
constexpr double kMostParameters = 0x1p50;

/// The tensors that `make` loads.
template <class Make>
TensorShapes tensors_of(Make&& make) {
  const WeightLoader loader = WeightLoader::listing();
  make(loader);
  return loader.asked();
}

}  // namespace

ModelShape shape_of(const json& raw, const WrapperNames& names) {
  require<std::string>(raw, "model_type");
  ModelShape shape;
  read_compression(raw, shape);
  reject_absurd_sizes(raw);
  const json text = is_wrapper(raw) ? value_or(raw, "text_config", json::object()) : json();
  reject_absurd_sizes(text);
  static_cast<DecoderSpec&>(shape) = read_decoder(raw, names);
  shape.raw = raw;
  std::vector<double> of_kinds;
  double of_blocks = 0;
  for (size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const auto first = std::ranges::find(shape.kind_of_block, kind) - shape.kind_of_block.begin();
    of_kinds.push_back(count_elements(
        tensors_of([&](const WeightLoader& loader) { make_block(shape, loader, first); })));
    of_blocks +=
        of_kinds.back() * static_cast<double>(std::ranges::count(shape.kind_of_block, kind));
  }
  TensorShapes ends =
      tensors_of([&](const WeightLoader& loader) { make_embedding(shape, loader); });
  TensorShapes head = tensors_of([&](const WeightLoader& loader) { make_head(shape, loader); });
  const double of_embedding = count_elements(ends);
  const double of_head = count_elements(head);
  ends.merge(head);
  const double parameters = of_blocks + count_elements(ends);
  if (!(parameters <= kMostParameters)) {
    throw Error(ErrorKind::kInput,
                fmt::format("{:.2g} parameters are more than any model has", parameters));
  }
  for (const double elements : of_kinds) {
    shape.kind_elements.push_back(static_cast<int64_t>(elements));
  }
  shape.embedding_elements = static_cast<int64_t>(of_embedding);
  shape.head_elements = static_cast<int64_t>(of_head);
  shape.parameters = static_cast<int64_t>(parameters);
  shape.stored_dtype = read_dtype(raw);
  if (!shape.stored_dtype) shape.stored_dtype = read_dtype(text);
  return shape;
}

namespace {

/// A folder with nothing but an adapter is a common mistake; its config.json would be reported missing.
void reject_adapter(const std::filesystem::path& folder) {
  const std::filesystem::path adapter = folder / "adapter_config.json";
  std::error_code failure;
  if (std::filesystem::exists(folder / "config.json", failure) ||
      !std::filesystem::exists(adapter, failure)) {
    return;
  }
  const auto base = value_or<std::string>(read_json(adapter), "base_model_name_or_path", "?");
  throw Error(ErrorKind::kInput,
              fmt::format("{}: is an adapter of '{}', not a model; merge it into that model first "
                          "(peft's merge_and_unload) and give the folder of the result",
                          folder.string(), printable(base)));
}

}  // namespace

const WrapperNames& names_of(const ModelShape& shape) {
  return *std::ranges::find_if(kWrapperNames, [&](const WrapperNames& names) {
    return !is_wrapper(shape.raw) || shape.names.embedding.starts_with(names.base);
  });
}

ModelShape with_own_head(const ModelShape& shape) {
  json raw = shape.raw;
  raw["tie_word_embeddings"] = false;
  return shape_of(raw, names_of(shape));
}

std::vector<ModelShape> with_other_names(const ModelShape& shape) {
  if (!is_wrapper(shape.raw)) return {};
  return {shape_of(shape.raw, kWrapperNames[1]), shape_of(shape.raw, kWrapperNames[2])};
}

std::optional<ModelShape> shrink(const ModelShape& shape, int64_t divisor) {
  json raw = shape.raw;
  json& text = is_wrapper(raw) ? raw["text_config"] : raw;
  std::vector<json*> objects = {&text};
  if (const auto layers = text.find("per_layer_config"); layers != text.end()) {
    for (json& layer : *layers) objects.push_back(&layer);
  }
  for (json* const object : objects) {
    for (const char* const key : kWidths) {
      const int64_t size = value_or<int64_t>(*object, key, 0);
      if (size == 0) continue;
      if (size % divisor != 0) return std::nullopt;
      (*object)[key] = size / divisor;
    }
  }
  // Groups of heads must divide what is left of them.
  for (const auto& [heads, groups] : {std::pair{"mamba_n_heads", "mamba_n_groups"},
                                      {"mamba_num_heads", "n_groups"},
                                      {"num_heads", "n_groups"}}) {
    const auto left = value_or<int64_t>(text, heads, 0);
    if (left > 0) text[groups] = std::gcd(value_or<int64_t>(text, groups, 1), left);
  }
  return shape_of(raw);
}

ModelShape read_model_shape(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  reject_adapter(folder);
  const json raw = read_json(path);
  try {
    return shape_of(raw);
  } catch (Error& error) {
    error.in(path.string());
    throw;
  }
}

}  // namespace prune::models
