#include <fmt/format.h>
#include <prune/core/error.h>

#include <array>
#include <cmath>

#include "families.h"

// Gemma (arXiv 2403.08295), Gemma 2 (arXiv 2408.00118), Gemma 3 (arXiv 2503.19786), Gemma 4 as in
// transformers/models/{gemma,gemma2,gemma3,gemma4}: src/models/README.md, "Gemma".

namespace prune::models {
namespace {

const json kDefaults = {{"head_dim", 256},          {"num_attention_heads", 8},
                        {"num_key_value_heads", 4}, {"query_pre_attn_scalar", 256},
                        {"sliding_window", 4096},   {"tie_word_embeddings", true}};

/// What the three have in common.
Draft gemma_decoder(json config, const char* activation_key,
                    const std::vector<std::string>& own_keys) {
  config["hidden_act"] = value_or<std::string>(config, activation_key, "gelu_pytorch_tanh");
  Draft draft = standard_decoder(config, own_keys);
  draft.block.norm.kind = NormKind::kRmsPlusOne;
  draft.model.embedding.scale = std::sqrt(static_cast<double>(draft.model.config.hidden_size));
  draft.model.embedding.scale_is_rounded = true;
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  return draft;
}

/// Norms on both sides, a cap on the logits.
Draft sandwich_decoder(const json& config, const std::vector<std::string>& own_keys) {
  Draft draft = gemma_decoder(config, "hidden_activation", own_keys);
  draft.block.topology = Topology::kSandwich;
  draft.block.names.before_ffn = "pre_feedforward_layernorm";
  draft.block.names.after_attention = "post_attention_layernorm";
  draft.block.names.after_ffn = "post_feedforward_layernorm";
  draft.model.head.softcap = value_or(config, "final_logit_softcapping", 0.0);
  return draft;
}

/// Scores scaled by `query_pre_attn_scalar`.
Draft gemma2_decoder(const json& config, const std::vector<std::string>& own_keys) {
  Draft draft = sandwich_decoder(config, own_keys);
  draft.block.attention.scale = 1.0 / std::sqrt(require<double>(config, "query_pre_attn_scalar"));
  return draft;
}

json with_gemma4_defaults(const json& config) {
  json full = with_defaults({{"vocab_size", 262144},
                             {"hidden_size", 2304},
                             {"intermediate_size", 9216},
                             {"num_hidden_layers", 30},
                             {"num_attention_heads", 8},
                             {"num_key_value_heads", 4},
                             {"head_dim", 256},
                             {"sliding_window", 512},
                             {"hidden_size_per_layer_input", 256},
                             {"max_position_embeddings", 131072},
                             {"tie_word_embeddings", true}},
                            config);
  if (value_or(full, "rope_parameters", json()).is_null()) {
    full["rope_parameters"] = {
        {"sliding_attention", {{"rope_theta", 10000.0}}},
        {"full_attention",
         {{"rope_type", "proportional"}, {"partial_rotary_factor", 0.25}, {"rope_theta", 1e6}}}};
  }
  if (value_or<std::string>(full, "use_bidirectional_attention", "") == "vision") {
    full.erase("use_bidirectional_attention");  // text stays causal
  }
  return full;
}

/// What the blocks of Gemma 4 differ in.
struct Gemma4Blocks {
  std::vector<bool> sliding;
  int64_t first_reader = 0;  ///< blocks from here on read keys and values of earlier ones
  /// The last block before that with a window (1) or without (0), whose keys and values they read.
  std::array<int64_t, 2> stores = {-1, -1};
};

Gemma4Blocks gemma4_blocks(const json& config) {
  const int64_t blocks = require_positive(config, "num_hidden_layers");
  Gemma4Blocks found{
      .sliding = sliding_layers(config, blocks, [](int64_t i) { return (i + 1) % 6 != 0; })};
  found.sliding.back() = false;  // whatever the configuration says
  const auto readers = value_or<int64_t>(config, "num_kv_shared_layers", 0);
  if (readers < 0 || readers >= blocks) {
    throw_json_error("num_kv_shared_layers", fmt::format("is {} of {} layers", readers, blocks));
  }
  found.first_reader = blocks - readers;
  if (readers == 0) return found;
  for (int64_t block = 0; block < blocks; ++block) {
    int64_t& source = found.stores[found.sliding[static_cast<size_t>(block)] ? 1 : 0];
    if (block < found.first_reader) source = block;
    if (source < 0) {
      throw_json_error(
          "num_kv_shared_layers",
          fmt::format("is {}, so that no layer has keys for layer {}", readers, block));
    }
  }
  return found;
}

/// The experts beside the feed-forward, each with norms of its own.
void set_gemma4_experts(Draft& draft, const json& config) {
  RouterSpec router = read_router(config, "router.proj.weight", "top_k_experts");
  router.normalised = true;
  router.input_scale = "router.scale";
  router.input_eps = draft.block.norm.eps;
  router.expert_scale = "router.per_expert_scale";
  set_experts(draft, router, require<int64_t>(config, "moe_intermediate_size"),
              draft.block.ffn.width, "mlp");
  MoeSpec& moe = *draft.block.moe;
  moe.expert.form = FfnForm::kFused;
  moe.norm_before = "pre_feedforward_layernorm_2";
  moe.norm_after = "post_feedforward_layernorm_2";
  moe.norm_shared = "post_feedforward_layernorm_1";
  draft.experts = {.gate = "experts.{}.gate_up_proj",
                   .down = "experts.{}.down_proj",
                   .gate_up_stack = "experts.gate_up_proj",
                   .down_stack = "experts.down_proj"};
}

/// Inputs of single blocks, which are embedded beside the tokens.
void set_layer_inputs(Draft& draft, const json& config, int64_t width) {
  ModelConfig& model = draft.model.config;
  const auto rows = value_or(config, "vocab_size_per_layer_input", model.vocab_size);
  if (rows < model.vocab_size) {
    throw_json_error("vocab_size_per_layer_input",
                     fmt::format("is {}, less than vocab_size {}", rows, model.vocab_size));
  }
  draft.block.layer_input = {
      .width = width, .blocks = model.blocks, .activation = draft.block.ffn.activation};
  draft.model.embedding.layer_inputs = {.table = "model.embed_tokens_per_layer.weight",
                                        .scale = std::sqrt(static_cast<double>(width)),
                                        .projection = "model.per_layer_model_projection.weight",
                                        .norm = "model.per_layer_projection_norm",
                                        .rows = rows,
                                        .width = width};
  model.carried = width * model.blocks;
}

}  // namespace

DecoderSpec read_gemma(const json& config) {
  const json full = with_defaults({{"head_dim", 256},
                                   {"num_attention_heads", 16},
                                   {"num_key_value_heads", 16},
                                   {"max_position_embeddings", 8192},
                                   {"tie_word_embeddings", true}},
                                  config);
  return finished(gemma_decoder(full, "hidden_act", {}));
}

DecoderSpec read_gemma2(const json& config) {
  json full = kDefaults;
  full.update({{"attn_logit_softcapping", 50.0},
               {"final_logit_softcapping", 30.0},
               {"max_position_embeddings", 8192}});
  full = with_defaults(full, config);
  Draft draft = gemma2_decoder(full, {"attn_logit_softcapping", "final_logit_softcapping"});
  draft.block.attention.softcap = value_or(full, "attn_logit_softcapping", 0.0);
  const std::optional<RopeSpec> rope = draft.block.attention.rope;
  set_windows(draft, full, window_of(full), /*pattern=*/2, rope, rope);
  return finished(std::move(draft));
}

DecoderSpec read_gemma3(const json& config) {
  json full = kDefaults;
  full.update({{"vocab_size", 262208},
               {"hidden_size", 2304},
               {"intermediate_size", 9216},
               {"num_hidden_layers", 26},
               {"sliding_window_pattern", 6},
               {"rope_theta", 1e6},
               {"rope_local_base_freq", 1e4},
               {"max_position_embeddings", 131072}});
  full = with_defaults(full, config);
  // attn_logit_softcapping is in the configuration, but Gemma 3 does not apply it.
  Draft draft = gemma2_decoder(
      full, {"attn_logit_softcapping", "final_logit_softcapping", "rope_parameters"});
  AttentionSpec& attention = draft.block.attention;
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  json local = full;
  local["rope_theta"] = full["rope_local_base_freq"];
  local.erase("rope_scaling");
  set_windows(draft, full, window_of(full), require<int64_t>(full, "sliding_window_pattern"),
              read_rope(local, attention.head_dim, "sliding_attention"),
              read_rope(full, attention.head_dim, "full_attention"));
  return finished(std::move(draft));
}

DecoderSpec read_gemma4(const json& config) {
  const json full = with_gemma4_defaults(config);
  Draft draft =
      sandwich_decoder(full, with_experts({"final_logit_softcapping", "rope_parameters"}));
  ModelConfig& model = draft.model.config;
  draft.block.norm.kind = NormKind::kRmsFloat;
  draft.block.scalar = "layer_scalar";
  AttentionSpec& attention = draft.block.attention;
  attention.scale = 1.0;
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  attention.value_norm = true;
  if (const auto width = value_or<int64_t>(full, "hidden_size_per_layer_input", 0); width > 0) {
    set_layer_inputs(draft, full, width);
  }
  if (value_or(full, "enable_moe_block", false)) set_gemma4_experts(draft, full);
  // Files have tensors for keys and values that no block computes.
  draft.model.unread = {"self_attn.k_proj.", "self_attn.v_proj.", "self_attn.k_norm."};

  const int64_t window = window_of(full);
  const bool key_is_value = value_or(full, "attention_k_eq_v", false);
  const auto wide_head = value_or<int64_t>(full, "global_head_dim", 512);
  const auto wide_heads = key_is_value
                              ? value_or(full, "num_global_key_value_heads", attention.kv_heads)
                              : attention.kv_heads;
  const Gemma4Blocks blocks = gemma4_blocks(full);
  const auto attention_of = [=, base = attention](int64_t block) {
    AttentionSpec spec = base;
    const bool slides = blocks.sliding[static_cast<size_t>(block)];
    spec.head_dim = of_layer(full, block, "head_dim", slides ? base.head_dim : wide_head);
    spec.kv_heads =
        of_layer(full, block, "num_key_value_heads", slides ? base.kv_heads : wide_heads);
    spec.window = slides ? window : 0;
    spec.rope = read_rope(full, spec.head_dim, slides ? "sliding_attention" : "full_attention");
    if (!slides && key_is_value) spec.form = QkvForm::kKeyIsValue;
    return spec;
  };
  // Keys and values of the blocks with a window are carried before those of the others.
  std::array<int64_t, 2> carried_at = {0, 0};
  for (const size_t kind : {1, 0}) {
    if (blocks.stores[kind] < 0) continue;
    carried_at[kind] = model.stream_size();
    model.carried += 2 * attention_of(blocks.stores[kind]).key_rows();
  }
  const bool doubles = value_or(full, "use_double_wide_mlp", false);
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const size_t kind = blocks.sliding[static_cast<size_t>(block)] ? 1 : 0;
    spec.attention = attention_of(block);
    if (block == blocks.stores[kind]) spec.attention.key_reuse = KeyReuse::kStores;
    if (block >= blocks.first_reader) {
      spec.attention.key_reuse = KeyReuse::kReads;
      const int64_t source = blocks.stores[kind];
      if (spec.attention.key_rows() != attention_of(source).key_rows()) {
        throw_json_error("per_layer_config",
                         fmt::format("gives layer {} keys of another size than layer {}, whose "
                                     "keys it reads",
                                     block, source));
      }
      if (doubles) spec.ffn.width *= 2;
    }
    if (spec.attention.key_reuse != KeyReuse::kNone) spec.attention.carried_at = carried_at[kind];
  };
  return finished(std::move(draft));
}

}  // namespace prune::models
