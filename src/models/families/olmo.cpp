#include "families.h"

// OLMo (arXiv 2402.00838), OLMo 2 (arXiv 2501.00656), OLMo 3 as in transformers/models/{olmo,olmo2,olmo3}:
// src/models/README.md, "OLMo".

namespace prune::models {
namespace {

/// Norms only after attention and feed-forward, and over all heads of queries and keys.
Draft olmo2_decoder(const json& config, const std::vector<std::string>& own_keys) {
  const json full = with_defaults({{"rms_norm_eps", 1e-5}}, config);
  Draft draft = standard_decoder(full, own_keys);
  set_norms_after_branches(draft);
  draft.block.norm.kind = NormKind::kRmsFloat;
  draft.block.attention.qk_norm = QkNorm::kFull;
  draft.block.attention.qk_norm_spec = draft.block.norm;
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  return draft;
}

}  // namespace

DecoderSpec read_olmo(const json& config) {
  Draft draft = standard_decoder(config);
  draft.block.norm = {.kind = NormKind::kLayer, .eps = 1e-5, .weight = false, .bias = false};
  draft.block.attention.clip = value_or(config, "clip_qkv", 0.0);
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  return finished(std::move(draft));
}

DecoderSpec read_olmo2(const json& config) {
  Draft draft = olmo2_decoder(config, {});
  draft.block.attention.rope->in_float = true;
  return finished(std::move(draft));
}

DecoderSpec read_olmo3(const json& config) {
  const json full = with_defaults({{"rope_theta", 500000.0}, {"sliding_window", 4096}}, config);
  Draft draft = olmo2_decoder(full, {"rope_parameters"});
  RopeSpec global_rope = read_rope(full, draft.block.attention.head_dim, "full_attention");
  json local = full;
  local.erase("rope_scaling");  // stretches the layers without a window only
  RopeSpec local_rope = read_rope(local, draft.block.attention.head_dim, "sliding_attention");
  global_rope.in_float = local_rope.in_float = true;
  set_windows(draft, full, window_of(full), /*pattern=*/4, local_rope, global_rope);
  return finished(std::move(draft));
}

}  // namespace prune::models
