#include <algorithm>

#include "families.h"

// Families that differ from LLaMA in a few fields, as in transformers/models/{arcee,exaone4,granite,nemotron,seed_oss,
// smollm3,stablelm,starcoder2}: src/models/README.md, "Other families".

namespace prune::models {
namespace {

void set_biases(Draft& draft, const json& config) {
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  draft.ffn_bias = value_or(config, "mlp_bias", false);
}

/// A feed-forward without a gate.
void set_plain_ffn(Draft& draft, const char* first, const char* last) {
  draft.block.ffn.form = FfnForm::kPlain;
  draft.linears.fc1 = first;
  draft.linears.down = last;
}

}  // namespace

DecoderSpec read_arcee(const json& config) {
  const json full = with_defaults({{"rms_norm_eps", 1e-5}, {"hidden_act", "relu2"}}, config);
  Draft draft = standard_decoder(full);
  set_plain_ffn(draft, "mlp.up_proj", "mlp.down_proj");
  set_biases(draft, full);
  return finished(std::move(draft));
}

DecoderSpec read_exaone4(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 32},
                                   {"rms_norm_eps", 1e-5},
                                   {"sliding_window", 4096},
                                   {"sliding_window_pattern", 4}},
                                  config);
  Draft draft = standard_decoder(full);
  set_norms_after_branches(draft);
  draft.block.attention.qk_norm = QkNorm::kHead;
  draft.block.attention.qk_norm_spec = draft.block.norm;
  if (const int64_t window = window_of(full); window > 0) {
    // The 32B model writes 4 as "LLLG": three local blocks, then a global one.
    const json pattern = full["sliding_window_pattern"];
    set_windows(draft, full, window,
                pattern.is_string() ? std::ssize(pattern.get_ref<const std::string&>())
                                    : require<int64_t>(full, "sliding_window_pattern"),
                draft.block.attention.rope, /*full_rope=*/std::nullopt);
  }
  return finished(std::move(draft));
}

void set_granite_multipliers(Draft& draft, const json& config) {
  draft.block.attention.scale = value_or(config, "attention_multiplier", 1.0);
  draft.block.residual_multiplier = value_or(config, "residual_multiplier", 1.0);
  draft.model.embedding.scale = value_or(config, "embedding_multiplier", 1.0);
  draft.model.head.multiplier = 1.0 / value_or(config, "logits_scaling", 1.0);
}

DecoderSpec read_granite(const json& config) {
  Draft draft = standard_decoder(config);
  set_biases(draft, config);
  set_granite_multipliers(draft, config);
  return finished(std::move(draft));
}

DecoderSpec read_nemotron(const json& config) {
  const json full =
      with_defaults({{"hidden_act", "relu2"}, {"partial_rotary_factor", 0.5}}, config);
  Draft draft = standard_decoder(full);
  draft.partial_rope = true;
  draft.block.norm = {.kind = NormKind::kLayerPlusOne, .eps = value_or(full, "norm_eps", 1e-5)};
  set_plain_ffn(draft, "mlp.up_proj", "mlp.down_proj");
  set_biases(draft, full);
  return finished(std::move(draft));
}

DecoderSpec read_seed_oss(const json& config) {
  const json full = with_defaults(
      {{"head_dim", 128}, {"num_key_value_heads", 8}, {"attention_bias", true}}, config);
  Draft draft = standard_decoder(full);
  set_biases(draft, full);
  draft.out_bias = value_or(full, "attention_out_bias", false);
  return finished(std::move(draft));
}

DecoderSpec read_smollm3(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 4},
                                   {"rope_theta", 2e6},
                                   {"no_rope_layer_interval", 4},
                                   {"max_position_embeddings", 32768},
                                   {"tie_word_embeddings", true}},
                                  config);
  Draft draft = standard_decoder(full, {"no_rope_layers"});
  set_biases(draft, full);
  const int64_t blocks = draft.model.config.blocks;
  const auto interval = require<int64_t>(full, "no_rope_layer_interval");
  auto with_rope = value_or<std::vector<int64_t>>(full, "no_rope_layers", {});
  for (int64_t block = std::ssize(with_rope); block < blocks; ++block) {
    with_rope.push_back(interval < 1 || (block + 1) % interval != 0 ? 1 : 0);
  }
  const int64_t window = value_or(full, "use_sliding_window", false) ? window_of(full) : 0;
  const std::vector<bool> sliding = sliding_layers(full, blocks, [=](int64_t block) {
    return window > 0 && with_rope[static_cast<size_t>(block)] == 0;
  });
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const auto number = static_cast<size_t>(block);
    spec.attention.window = sliding[number] ? window : 0;
    if (with_rope[number] == 0) spec.attention.rope.reset();
  };
  return finished(std::move(draft));
}

DecoderSpec read_stablelm(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 32},
                             {"partial_rotary_factor", 0.25},
                             {"max_position_embeddings", 4096}},
                            config);
  full.erase("head_dim");  // Transformers ignores it
  Draft draft = standard_decoder(full);
  draft.partial_rope = true;
  draft.block.norm = {.kind = NormKind::kLayer, .eps = value_or(full, "layer_norm_eps", 1e-5)};
  if (value_or(full, "use_parallel_residual", false)) {
    draft.block.topology = Topology::kParallelOne;
    draft.block.names.before_ffn = "";
  }
  if (value_or(full, "qk_layernorm", false)) {
    draft.block.attention.qk_norm = QkNorm::kOwnParts;
    draft.block.attention.qk_norm_spec = draft.block.norm;
    draft.block.names.query = "self_attn.q_layernorm";
    draft.block.names.key = "self_attn.k_layernorm";
  }
  draft.qkv_bias = value_or(full, "use_qkv_bias", false);
  return finished(std::move(draft));
}

DecoderSpec read_starcoder2(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 2},
                                   {"hidden_act", "gelu_pytorch_tanh"},
                                   {"max_position_embeddings", 4096},
                                   {"tie_word_embeddings", true}},
                                  config);
  Draft draft = standard_decoder(full);
  draft.block.norm = {.kind = NormKind::kLayer, .eps = value_or(full, "norm_epsilon", 1e-5)};
  draft.block.attention.window = window_of(full);
  set_plain_ffn(draft, "mlp.c_fc", "mlp.c_proj");
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = value_or(full, "use_bias", true);
  return finished(std::move(draft));
}

}  // namespace prune::models
