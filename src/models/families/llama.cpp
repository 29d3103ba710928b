#include "families.h"

// LLaMA (Touvron et al. 2023, arXiv 2302.13971) and models of the same structure, as in
// transformers/models/{llama,mistral,ministral3,qwen2,qwen3}: src/models/README.md, "LLaMA".

namespace prune::models {
namespace {

/// @param from_block  first block with the window
/// @param mixes  layer_types may switch it off for some blocks
void set_window(Draft& draft, const json& config, int64_t window, int64_t from_block, bool mixes) {
  const int64_t blocks = draft.model.config.blocks;
  const auto by_keys = [=](int64_t block) { return window > 0 && block >= from_block; };
  const std::vector<bool> sliding = sliding_layers(config, blocks, by_keys);
  for (int64_t block = 0; block < blocks; ++block) {
    const bool slides = sliding[static_cast<size_t>(block)];
    if (slides ? window > 0 : (mixes || !by_keys(block))) continue;
    throw_json_error(
        "layer_types",
        fmt::format("calls layer {} '{}', which is not supported for model_type '{}' with "
                    "these window keys",
                    block, slides ? "sliding_attention" : "full_attention",
                    draft.model.config.model_type));
  }
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    spec.attention.window = sliding[static_cast<size_t>(block)] ? window : 0;
  };
}

DecoderSpec qwen(const json& config, json defaults, bool always_bias) {
  const json full = with_defaults(std::move(defaults), config);
  Draft draft = standard_decoder(full);
  draft.qkv_bias = always_bias || value_or(full, "attention_bias", false);
  draft.out_bias = !always_bias && value_or(full, "attention_bias", false);
  if (!always_bias) {
    draft.block.attention.qk_norm = QkNorm::kHead;
    draft.block.attention.qk_norm_spec = draft.block.norm;
  }
  const bool windowed = value_or(full, "use_sliding_window", false);
  set_window(draft, full, windowed ? window_of(full) : 0,
             value_or<int64_t>(full, "max_window_layers", 28), /*mixes=*/true);
  return finished(std::move(draft));
}

}  // namespace

void set_temperature(Draft& draft, const json& config) {
  const json rope = value_or(config, "rope_parameters", json::object());
  draft.block.attention.temperature_beta = value_or(rope, "llama_4_scaling_beta", 0.0);
  draft.block.attention.temperature_positions = draft.block.attention.rope->original_max_positions;
}

DecoderSpec read_llama(const json& config) {
  Draft draft = standard_decoder(config);
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  draft.ffn_bias = value_or(config, "mlp_bias", false);
  set_window(draft, config, /*window=*/0, /*from_block=*/0, /*mixes=*/false);
  return finished(std::move(draft));
}

DecoderSpec read_mistral(const json& config) {
  const json full = with_defaults(
      {{"num_key_value_heads", 8}, {"sliding_window", 4096}, {"max_position_embeddings", 131072}},
      config);
  Draft draft = standard_decoder(full);
  set_window(draft, full, window_of(full), /*from_block=*/0, /*mixes=*/false);
  return finished(std::move(draft));
}

DecoderSpec read_ministral3(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 8},
                                   {"head_dim", 128},
                                   {"rms_norm_eps", 1e-5},
                                   {"max_position_embeddings", 262144}},
                                  config);
  Draft draft = standard_decoder(full);
  set_temperature(draft, full);
  set_window(draft, full, window_of(full), /*from_block=*/0, /*mixes=*/false);
  return finished(std::move(draft));
}

DecoderSpec read_qwen2(const json& config) {
  return qwen(
      config,
      {{"num_key_value_heads", 32}, {"sliding_window", 4096}, {"max_position_embeddings", 32768}},
      /*always_bias=*/true);
}

DecoderSpec read_qwen3(const json& config) {
  return qwen(config,
              {{"num_key_value_heads", 32},
               {"head_dim", 128},
               {"sliding_window", 4096},
               {"max_position_embeddings", 32768}},
              /*always_bias=*/false);
}

}  // namespace prune::models
