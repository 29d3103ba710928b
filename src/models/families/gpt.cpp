#include <cmath>

#include "families.h"

// GPT-2 (Radford et al. 2019), GPT-J (Wang & Komatsuzaki 2021), GPT-NeoX (arXiv 2204.06745; Pythia, arXiv 2304.01373)
// as in transformers/models/{gpt2,gptj,gpt_neox}: src/models/README.md, "GPT".

namespace prune::models {
namespace {

/// GPT-2's spellings under the usual names.
json usual_keys(const json& config) {
  json full = config;
  for (const char* const ignored : {"num_key_value_heads", "head_dim"}) full.erase(ignored);
  const auto rename = [&](const char* from, const char* to) {
    if (config.contains(from)) full[to] = config[from];
  };
  rename("n_embd", "hidden_size");
  rename("n_layer", "num_hidden_layers");
  rename("n_head", "num_attention_heads");
  rename("n_positions", "max_position_embeddings");
  full["hidden_act"] = value_or<std::string>(config, "activation_function", "gelu_new");
  full["intermediate_size"] =
      value_or(config, "n_inner", 4 * require<int64_t>(full, "hidden_size"));
  return full;
}

NormSpec layer_norm(const json& config, const char* eps_key) {
  return {.kind = NormKind::kLayer, .eps = value_or(config, eps_key, 1e-5)};
}

}  // namespace

DecoderSpec read_gpt2(const json& config) {
  const json full =
      with_defaults({{"tie_word_embeddings", true}, {"n_positions", 1024}}, usual_keys(config));
  Draft draft = standard_decoder(full);
  draft.block.norm = layer_norm(full, "layer_norm_epsilon");
  draft.block.names.before_attention = "ln_1";
  draft.block.names.before_ffn = "ln_2";
  AttentionSpec& attention = draft.block.attention;
  attention.form = QkvForm::kConcat;
  attention.rope.reset();
  if (!value_or(full, "scale_attn_weights", true)) attention.scale = 1.0;
  if (value_or(full, "scale_attn_by_inverse_layer_idx", false)) {
    draft.adjust = [](int64_t block, BlockSpec& spec) {
      spec.attention.scale /= static_cast<double>(block + 1);
    };
  }
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears.qkv = "attn.c_attn";
  draft.linears.out = "attn.c_proj";
  draft.linears.fc1 = "mlp.c_fc";
  draft.linears.down = "mlp.c_proj";
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = true;
  draft.transposed = true;
  set_names(draft, {.base = "transformer.", .blocks = "h", .tokens = "wte", .final_norm = "ln_f"});
  draft.model.embedding.positions = "transformer.wpe.weight";
  return finished(std::move(draft));
}

DecoderSpec read_gptj(const json& config) {
  const json full = with_defaults({{"n_positions", 2048}}, usual_keys(config));
  Draft draft = standard_decoder(full);
  draft.block.topology = Topology::kParallelOne;
  draft.block.norm = layer_norm(full, "layer_norm_epsilon");
  draft.block.names.before_attention = "ln_1";
  draft.block.names.before_ffn = "";
  AttentionSpec& attention = draft.block.attention;
  draft.partial_rope = true;
  attention.rope->dims =
      value_or(full, "rotary_dim", full.contains("rotary_dim") ? attention.head_dim : 64);
  attention.rope->interleaved = true;
  attention.rope->in_float = true;
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears = {.query = "attn.q_proj",
                   .key = "attn.k_proj",
                   .value = "attn.v_proj",
                   .out = "attn.out_proj",
                   .fc1 = "mlp.fc_in",
                   .down = "mlp.fc_out"};
  draft.ffn_bias = true;
  set_names(draft, {.base = "transformer.", .blocks = "h", .tokens = "wte", .final_norm = "ln_f"});
  draft.model.head.bias = "lm_head.bias";
  return finished(std::move(draft));
}

DecoderSpec read_gpt_neox(const json& config) {
  json full = with_defaults({{"hidden_act", "gelu"}}, config);
  for (const char* const ignored : {"num_key_value_heads", "head_dim"}) full.erase(ignored);
  full["rope_theta"] = value_or(full, "rope_theta", value_or(full, "rotary_emb_base", 10000.0));
  full["partial_rotary_factor"] =
      value_or(full, "partial_rotary_factor", value_or(full, "rotary_pct", 0.25));
  Draft draft = standard_decoder(full);
  draft.partial_rope = true;
  draft.block.topology =
      value_or(full, "use_parallel_residual", true) ? Topology::kParallelTwo : Topology::kPre;
  draft.block.norm = layer_norm(full, "layer_norm_eps");
  draft.block.attention.form = QkvForm::kGrouped;
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears.qkv = "attention.query_key_value";
  draft.linears.out = "attention.dense";
  draft.linears.fc1 = "mlp.dense_h_to_4h";
  draft.linears.down = "mlp.dense_4h_to_h";
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", true);
  draft.ffn_bias = true;
  set_names(draft, {.base = "gpt_neox.",
                    .blocks = "layers",
                    .tokens = "embed_in",
                    .final_norm = "final_layer_norm",
                    .head = "embed_out"});
  return finished(std::move(draft));
}

}  // namespace prune::models
