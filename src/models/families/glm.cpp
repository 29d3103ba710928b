#include "families.h"

// GLM-4-9B (glm, arXiv 2406.12793) and GLM-4-0414 (glm4) as in transformers/models/{glm,glm4}:
// src/models/README.md, "Other families".

namespace prune::models {
namespace {

Draft glm_decoder(const json& config) {
  const json full = with_defaults({{"head_dim", 128},
                                   {"num_key_value_heads", 2},
                                   {"rms_norm_eps", 1.5625e-7},
                                   {"partial_rotary_factor", 0.5},
                                   {"attention_bias", true},
                                   {"max_position_embeddings", 131072}},
                                  config);
  Draft draft = standard_decoder(full);
  draft.partial_rope = true;
  draft.block.attention.rope->interleaved = true;
  draft.block.ffn.form = FfnForm::kFused;
  draft.qkv_bias = value_or(full, "attention_bias", true);
  return draft;
}

}  // namespace

DecoderSpec read_glm(const json& config) { return finished(glm_decoder(config)); }

DecoderSpec read_glm4(const json& config) {
  Draft draft = glm_decoder(config);
  draft.block.topology = Topology::kSandwich;
  draft.block.names.after_attention = "post_self_attn_layernorm";
  draft.block.names.after_ffn = "post_mlp_layernorm";
  return finished(std::move(draft));
}

}  // namespace prune::models
