#include "families.h"

// Falcon (arXiv 2311.16867) as in transformers/models/falcon: src/models/README.md, "Falcon".

namespace prune::models {

DecoderSpec read_falcon(const json& config) {
  json full = with_defaults({{"tie_word_embeddings", true}, {"activation", "gelu"}}, config);
  full.erase("head_dim");  // Transformers ignores it
  const auto rename = [&](const char* from, const char* to) {
    if (config.contains(from)) full[to] = config[from];
  };
  rename("n_embed", "hidden_size");
  rename("n_layer", "num_hidden_layers");
  rename("n_head", "num_attention_heads");
  rename("n_head_kv", "num_kv_heads");
  full["hidden_act"] = full["activation"];
  full["intermediate_size"] =
      value_or(full, "ffn_hidden_size", 4 * require<int64_t>(full, "hidden_size"));
  const bool is_new = value_or(full, "new_decoder_architecture", false);
  const auto heads = require<int64_t>(full, "num_attention_heads");
  const bool shares_keys = !is_new && value_or(full, "multi_query", true);
  const int64_t key_heads = is_new ? value_or(full, "num_kv_heads", heads) : heads;
  full["num_key_value_heads"] = shares_keys ? 1 : key_heads;

  Draft draft = standard_decoder(full);
  const bool is_parallel = value_or(full, "parallel_attn", true);
  const bool two_norms = value_or<int64_t>(full, "num_ln_in_parallel_attn", is_new ? 2 : 1) == 2;
  draft.block.norm = {.kind = NormKind::kLayer, .eps = value_or(full, "layer_norm_epsilon", 1e-5)};
  if (is_parallel && two_norms) {
    draft.block.topology = Topology::kParallelTwo;
    draft.block.names.before_attention = "ln_attn";
    draft.block.names.before_ffn = "ln_mlp";
  } else if (is_parallel) {
    draft.block.topology = Topology::kParallelOne;
    draft.block.names.before_ffn = "";
  }
  draft.block.attention.form = QkvForm::kGrouped;
  if (value_or(full, "alibi", false)) {
    draft.block.attention.rope.reset();
    draft.block.attention.alibi = Alibi::kScaled;
    draft.model.config.max_positions = 0;
  }
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears.qkv = "self_attention.query_key_value";
  draft.linears.out = "self_attention.dense";
  draft.linears.fc1 = "mlp.dense_h_to_4h";
  draft.linears.down = "mlp.dense_4h_to_h";
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = value_or(full, "bias", false);
  set_names(
      draft,
      {.base = "transformer.", .blocks = "h", .tokens = "word_embeddings", .final_norm = "ln_f"});
  return finished(std::move(draft));
}

}  // namespace prune::models
