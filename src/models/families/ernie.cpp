#include "families.h"

// ERNIE 4.5 (Baidu ERNIE Team 2025), the dense models, as in transformers/models/ernie4_5:
// src/models/README.md, "Other families".

namespace prune::models {

DecoderSpec read_ernie4_5(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 2},
                                   {"head_dim", 128},
                                   {"rms_norm_eps", 1e-5},
                                   {"rope_theta", 500000.0},
                                   {"max_position_embeddings", 131072},
                                   {"tie_word_embeddings", true}},
                                  config);
  Draft draft = standard_decoder(full);
  draft.block.attention.rope->interleaved = true;
  draft.block.attention.rope->in_float = true;
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = value_or(full, "use_bias", false);
  return finished(std::move(draft));
}

}  // namespace prune::models
