#include "families.h"

// Command-R (Cohere) and Command-R7B (Cohere 2) as in transformers/models/{cohere,cohere2}:
// src/models/README.md, "Cohere".

namespace prune::models {
namespace {

Draft cohere_decoder(const json& config) {
  json full = with_defaults(
      {{"rope_theta", 500000.0}, {"max_position_embeddings", 8192}, {"logit_scale", 0.0625}},
      config);
  full["tie_word_embeddings"] = true;  // the classes have no head of their own
  Draft draft = standard_decoder(full);
  draft.block.topology = Topology::kParallelOne;
  draft.block.norm = {
      .kind = NormKind::kLayer, .eps = value_or(full, "layer_norm_eps", 1e-5), .bias = false};
  draft.block.names.before_ffn = "";
  draft.block.attention.rope->interleaved = true;
  draft.block.attention.rope->in_float = true;
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.model.head.multiplier = require<double>(full, "logit_scale");
  return draft;
}

}  // namespace

DecoderSpec read_cohere(const json& config) {
  Draft draft = cohere_decoder(config);
  if (value_or(config, "use_qk_norm", false)) {
    draft.block.attention.qk_norm = QkNorm::kOwn;
    draft.block.attention.qk_norm_spec = draft.block.norm;
  }
  return finished(std::move(draft));
}

DecoderSpec read_cohere2(const json& config) {
  const json full =
      with_defaults({{"sliding_window", 4096}, {"sliding_window_pattern", 4}}, config);
  Draft draft = cohere_decoder(full);
  set_windows(draft, full, window_of(full), require<int64_t>(full, "sliding_window_pattern"),
              draft.block.attention.rope, /*full_rope=*/std::nullopt);
  return finished(std::move(draft));
}

}  // namespace prune::models
