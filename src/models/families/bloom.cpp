#include <prune/core/error.h>

#include "families.h"

// BLOOM (Le Scao et al. 2022, arXiv 2211.05100) as in transformers/models/bloom:
// src/models/README.md, "BLOOM".

namespace prune::models {
namespace {

/// A required number with two spellings. @throws Error(input) if both are given and differ
int64_t either(const json& config, const char* key, const char* other) {
  const auto value = require<int64_t>(config, config.contains(key) ? key : other);
  const auto second = value_or(config, other, value);
  if (value == second) return value;
  throw Error(ErrorKind::kInput, fmt::format("{} {} contradicts {} {}", key, value, other, second));
}

/// The tanh form of GELU, each operation rounded to the dtype as in Transformers.
Tensor bloom_gelu(const Tensor& x) {
  const Tensor polynomial = x.mul(0.044715).mul_(x).add_(1.0);
  return x.mul(0.5).mul_(x.mul(0.79788456).mul_(polynomial).tanh_().add(1.0));
}

}  // namespace

DecoderSpec read_bloom(const json& config) {
  const auto hidden =
      require<int64_t>(config, config.contains("n_embed") ? "n_embed" : "hidden_size");
  Draft draft =
      standard_decoder({{"model_type", "bloom"},
                        {"hidden_size", hidden},
                        {"num_hidden_layers", either(config, "n_layer", "num_hidden_layers")},
                        {"num_attention_heads", either(config, "n_head", "num_attention_heads")},
                        {"vocab_size", require<int64_t>(config, "vocab_size")},
                        {"intermediate_size", 4 * hidden},
                        {"max_position_embeddings", 0},
                        {"tie_word_embeddings", value_or(config, "tie_word_embeddings", true)}});
  draft.block.norm = {.kind = NormKind::kLayer,
                      .eps = value_or(config, "layer_norm_epsilon", 1e-5)};
  draft.block.normed_residual = value_or(config, "apply_residual_connection_post_layernorm", false);
  draft.block.attention.form = QkvForm::kGrouped;
  draft.block.attention.rope.reset();
  draft.block.attention.alibi = Alibi::kAdded;
  draft.block.ffn.form = FfnForm::kPlain;
  draft.block.ffn.activation = &bloom_gelu;
  draft.linears.qkv = "self_attention.query_key_value";
  draft.linears.out = "self_attention.dense";
  draft.linears.fc1 = "mlp.dense_h_to_4h";
  draft.linears.down = "mlp.dense_4h_to_h";
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = true;

  set_names(
      draft,
      {.base = "transformer.", .blocks = "h", .tokens = "word_embeddings", .final_norm = "ln_f"});
  draft.model.embedding.norm = draft.block.norm;
  draft.model.embedding.norm_name = "transformer.word_embeddings_layernorm";
  return finished(std::move(draft));
}

}  // namespace prune::models
