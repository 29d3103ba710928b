#include "families.h"

// Phi-1 and Phi-2 (arXiv 2306.11644), Phi-3, 3.5, 4 and 4-mini (arXiv 2404.14219) as in
// transformers/models/{phi,phi3}: src/models/README.md, "Phi".

namespace prune::models {

DecoderSpec read_phi(const json& config) {
  json full = with_defaults({{"hidden_act", "gelu_new"}, {"partial_rotary_factor", 0.5}}, config);
  // Transformers ignores it in the norms.
  if (value_or(full, "qk_layernorm", false)) full.erase("head_dim");
  Draft draft = standard_decoder(full);
  draft.partial_rope = true;
  draft.block.topology = Topology::kParallelOne;
  draft.block.norm = {.kind = NormKind::kLayer, .eps = value_or(full, "layer_norm_eps", 1e-5)};
  draft.block.names.before_ffn = "";
  draft.block.names.query = "self_attn.q_layernorm";
  draft.block.names.key = "self_attn.k_layernorm";
  if (value_or(full, "qk_layernorm", false)) {
    draft.block.attention.qk_norm = QkNorm::kHead;
    draft.block.attention.qk_norm_spec = draft.block.norm;
  }
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears.out = "self_attn.dense";
  draft.linears.down = "mlp.fc2";
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = true;
  set_names(draft, {.base = "model.",
                    .blocks = "layers",
                    .tokens = "embed_tokens",
                    .final_norm = "final_layernorm"});
  draft.model.head.bias = "lm_head.bias";
  return finished(std::move(draft));
}

DecoderSpec read_phi3(const json& config) {
  json full = with_defaults({{"rms_norm_eps", 1e-5},
                             {"max_position_embeddings", 4096},
                             {"original_max_position_embeddings", 4096}},
                            config);
  // Phi-3's first files call longrope "su" or "yarn".
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!full.contains(key) || !full[key].is_object()) continue;
    for (const char* type : {"type", "rope_type"}) {
      const auto name = value_or<std::string>(full[key], type, "");
      if (name == "su" || name == "yarn") full[key][type] = "longrope";
    }
    // Transformers ignores it when it counts the factors.
    if (full[key].contains("long_factor")) full.erase("head_dim");
  }
  Draft draft = standard_decoder(full);
  draft.partial_rope = true;
  draft.block.attention.form = QkvForm::kConcat;
  draft.block.attention.window = window_of(full);
  draft.block.ffn.form = FfnForm::kFused;
  return finished(std::move(draft));
}

}  // namespace prune::models
