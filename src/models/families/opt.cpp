#include "families.h"

// OPT (Zhang et al. 2022, arXiv 2205.01068) as in transformers/models/opt:
// src/models/README.md, "OPT".

namespace prune::models {
namespace {

constexpr int64_t kPositionOffset = 2;  // position t uses row t + 2 of the table

const json kDefaults = {{"num_hidden_layers", 12},
                        {"hidden_size", 768},
                        {"vocab_size", 50272},
                        {"num_attention_heads", 12},
                        {"max_position_embeddings", 2048},
                        {"tie_word_embeddings", true},
                        {"activation_function", "relu"}};

}  // namespace

DecoderSpec read_opt(const json& config) {
  json full = with_defaults(kDefaults, config);
  full["intermediate_size"] = value_or<int64_t>(full, "ffn_dim", 3072);
  full["hidden_act"] = full["activation_function"];
  full.erase("num_key_value_heads");
  full.erase("head_dim");
  Draft draft = standard_decoder(full);
  const bool pre_norm = value_or(full, "do_layer_norm_before", true);
  const bool affine = value_or(full, "layer_norm_elementwise_affine", true);
  draft.block.norm = {.kind = NormKind::kLayer, .eps = 1e-5, .weight = affine, .bias = affine};
  draft.block.topology = pre_norm ? Topology::kPre : Topology::kPostSum;
  NormNames names{.before_attention = "", .before_ffn = ""};
  (pre_norm ? names.before_attention : names.after_attention) = "self_attn_layer_norm";
  (pre_norm ? names.before_ffn : names.after_ffn) = "final_layer_norm";
  draft.block.names = names;
  draft.block.attention.rope.reset();
  draft.block.attention.scales_query = true;
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears.out = "self_attn.out_proj";
  draft.linears.fc1 = "fc1";
  draft.linears.down = "fc2";
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = value_or(full, "enable_bias", true);

  set_names(draft, {.base = "model.",
                    .blocks = "decoder.layers",
                    .tokens = "decoder.embed_tokens",
                    .final_norm = "decoder.final_layer_norm"});
  DecoderSpec& model = draft.model;
  model.embedding.positions = "model.decoder.embed_positions.weight";
  model.embedding.first_position = kPositionOffset;
  model.embedding.width = value_or<int64_t>(full, "word_embed_proj_dim", model.config.hidden_size);
  model.head.width = model.embedding.width;
  if (model.embedding.width != model.config.hidden_size) {
    model.embedding.project_in = "model.decoder.project_in.weight";
    model.head.project_out = "model.decoder.project_out.weight";
  }
  draft.final_norm = pre_norm && !value_or(full, "_remove_final_layer_norm", false);
  return finished(std::move(draft));
}

}  // namespace prune::models
