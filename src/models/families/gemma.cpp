#include <cmath>

#include "families.h"

// Gemma (arXiv 2403.08295), Gemma 2 (arXiv 2408.00118), Gemma 3 (arXiv 2503.19786) as in
// transformers/models/{gemma,gemma2,gemma3}: src/models/README.md, "Gemma".

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

/// Norms on both sides, scores scaled by `query_pre_attn_scalar`, a cap on the logits.
Draft gemma2_decoder(const json& config, const std::vector<std::string>& own_keys) {
  Draft draft = gemma_decoder(config, "hidden_activation", own_keys);
  draft.block.topology = Topology::kSandwich;
  draft.block.names.before_ffn = "pre_feedforward_layernorm";
  draft.block.names.after_attention = "post_attention_layernorm";
  draft.block.names.after_ffn = "post_feedforward_layernorm";
  draft.block.attention.scale = 1.0 / std::sqrt(require<double>(config, "query_pre_attn_scalar"));
  draft.model.head.softcap = value_or(config, "final_logit_softcapping", 0.0);
  return draft;
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

}  // namespace prune::models
