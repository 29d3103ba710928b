#include <fmt/format.h>
#include <prune/core/error.h>

#include <algorithm>

#include "families.h"

// Models in which most blocks have a mixer with a state instead of attention, as in transformers/models/{qwen3_next,qwen3_5,
// qwen3_5_moe,lfm2,lfm2_moe}: src/models/README.md, "Mixers with a state".

namespace prune::models {
namespace {

DeltaNetSpec read_delta_net(const json& config, bool by_key_head) {
  DeltaNetSpec net{.prefix = "linear_attn.",
                   .key_heads = require_positive(config, "linear_num_key_heads"),
                   .value_heads = require_positive(config, "linear_num_value_heads"),
                   .key_dim = require_positive(config, "linear_key_head_dim"),
                   .value_dim = require_positive(config, "linear_value_head_dim"),
                   .kernel = require_positive(config, "linear_conv_kernel_dim", kLargestKernel),
                   .by_key_head = by_key_head,
                   .eps = value_or(config, "rms_norm_eps", 1e-6)};
  if (net.value_heads % net.key_heads != 0) {
    throw_json_error("linear_num_value_heads", fmt::format("is {}, no multiple of {} key heads",
                                                           net.value_heads, net.key_heads));
  }
  return net;
}

/// Three gated delta nets to one attention with gates of its output.
Draft qwen_hybrid(const json& config, bool by_key_head) {
  Draft draft = standard_decoder(config, with_experts());
  draft.partial_rope = true;
  draft.block.norm.kind = NormKind::kRmsPlusOne;
  AttentionSpec& attention = draft.block.attention;
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  attention.output_gate = OutputGate::kInQuery;
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  draft.linears.mixer_in = by_key_head ? "linear_attn.in_proj_qkvz" : "linear_attn.in_proj_qkv";
  draft.linears.mixer_gate = "linear_attn.in_proj_z";
  draft.linears.mixer_out = "linear_attn.out_proj";
  const auto interval = value_or<int64_t>(config, "full_attention_interval", 4);
  if (interval < 1) throw_json_error("full_attention_interval", "must be positive");
  set_mixer(draft, config, read_delta_net(config, by_key_head), {"linear_attention"},
            [=](int64_t block) { return (block + 1) % interval != 0; });
  return draft;
}

json with_qwen_defaults(const json& config, json more) {
  json defaults = {{"head_dim", 256},
                   {"intermediate_size", 5632},
                   {"partial_rotary_factor", 0.25},
                   {"linear_num_key_heads", 16},
                   {"linear_num_value_heads", 32},
                   {"linear_key_head_dim", 128},
                   {"linear_value_head_dim", 128},
                   {"linear_conv_kernel_dim", 4},
                   {"max_position_embeddings", 32768}};
  defaults.update(more);
  return with_defaults(defaults, config);
}

/// LFM2's keys under the names of the others.
json lfm2_keys(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 8},
                             {"norm_eps", 1e-5},
                             {"rope_theta", 1e6},
                             {"tie_word_embeddings", true},
                             {"conv_L_cache", 3},
                             {"max_position_embeddings", 128000}},
                            config);
  full["rms_norm_eps"] = full["norm_eps"];
  full["intermediate_size"] =
      value_or<int64_t>(full, "block_ff_dim", value_or<int64_t>(full, "intermediate_size", 0));
  full["tie_word_embeddings"] =
      value_or(full, "tie_embedding", value_or(full, "tie_word_embeddings", true));
  return full;
}

/// int(2/3 of intermediate_size), times a factor, rounded up to a multiple.
int64_t adjusted_width(const json& config) {
  const auto width = require<int64_t>(config, "intermediate_size");
  if (!value_or(config, "block_auto_adjust_ff_dim", true)) return width;
  json full = with_defaults({{"block_multiple_of", 256}}, config);
  const int64_t multiple = require_positive(full, "block_multiple_of");
  const double factor = value_or(config, "block_ffn_dim_multiplier", 1.0);
  if (!(factor > 0.0 && factor <= 1024.0)) {
    throw_json_error("block_ffn_dim_multiplier",
                     fmt::format("is {}; it must be above 0 and at most 1024", factor));
  }
  const auto scaled = static_cast<int64_t>(factor * static_cast<double>(2 * width / 3));
  return (scaled + multiple - 1) / multiple * multiple;
}

Draft lfm2(const json& config) {
  Draft draft = standard_decoder(config, with_experts());
  draft.model.head.norm_name = "model.embedding_norm";
  NormNames& norms = draft.block.names;
  norms.before_attention = "operator_norm";
  norms.before_ffn = "ffn_norm";
  norms.query = "self_attn.q_layernorm";
  norms.key = "self_attn.k_layernorm";
  draft.block.attention.qk_norm = QkNorm::kHead;
  draft.block.attention.qk_norm_spec = draft.block.norm;
  LinearNames& names = draft.linears;
  names.out = "self_attn.out_proj";
  names.mixer_in = "conv.in_proj";
  names.mixer_out = "conv.out_proj";
  names.gate = "feed_forward.w1";
  names.up = "feed_forward.w3";
  names.down = "feed_forward.w2";
  const auto attends = value_or<std::vector<int64_t>>(config, "full_attn_idxs", {});
  const bool all_attend = value_or(config, "full_attn_idxs", json()).is_null();
  set_mixer(draft, config,
            ShortConvSpec{.prefix = "conv.",
                          .kernel = require_positive(config, "conv_L_cache", kLargestKernel),
                          .bias = value_or(config, "conv_bias", false)},
            {"conv"}, [=](int64_t block) {
              return !all_attend && std::ranges::find(attends, block) == attends.end();
            });
  return draft;
}

}  // namespace

DecoderSpec read_qwen3_next(const json& config) {
  const json full = with_qwen_defaults(config, {{"num_key_value_heads", 2},
                                                {"num_experts_per_tok", 10},
                                                {"norm_topk_prob", true},
                                                {"shared_expert_intermediate_size", 512}});
  Draft draft = qwen_hybrid(full, /*by_key_head=*/true);
  set_qwen_experts(draft, full, require<int64_t>(full, "shared_expert_intermediate_size"));
  draft.block.moe->shared_gate = "mlp.shared_expert_gate.weight";
  return finished(std::move(draft));
}

DecoderSpec read_qwen3_5(const json& config) {
  const json full = with_qwen_defaults(config, {{"num_key_value_heads", 4}});
  return finished(qwen_hybrid(full, /*by_key_head=*/false));
}

DecoderSpec read_qwen3_5_moe(const json& config) {
  const json full = with_qwen_defaults(config, {{"num_key_value_heads", 2},
                                                {"num_experts_per_tok", 8},
                                                {"shared_expert_intermediate_size", 512}});
  Draft draft = qwen_hybrid(full, /*by_key_head=*/false);
  set_qwen_experts(draft, full, require<int64_t>(full, "shared_expert_intermediate_size"));
  draft.block.moe->router.normalised = true;
  draft.block.moe->shared_gate = "mlp.shared_expert_gate.weight";
  return finished(std::move(draft));
}

DecoderSpec read_lfm2(const json& config) {
  const json full = lfm2_keys(config);
  Draft draft = lfm2(full);
  draft.block.ffn.width = adjusted_width(full);
  return finished(std::move(draft));
}

DecoderSpec read_lfm2_moe(const json& config) {
  const json full =
      with_defaults({{"num_dense_layers", 2}, {"num_experts_per_tok", 4}}, lfm2_keys(config));
  Draft draft = lfm2(full);
  RouterSpec router = read_router(full, "feed_forward.gate.weight");
  if (value_or(full, "use_expert_bias", true)) router.correction = "feed_forward.expert_bias";
  router.score = RouterSpec::Score::kSigmoid;
  router.normalised = value_or(full, "norm_topk_prob", true);
  router.sum_offset = 1e-6;
  router.scale = value_or(full, "routed_scaling_factor", 1.0);
  draft.dense = draft.linears;
  set_experts(draft, router, require_positive(full, "moe_intermediate_size"));
  draft.experts = {.gate = "feed_forward.experts.{}.w1",
                   .up = "feed_forward.experts.{}.w3",
                   .down = "feed_forward.experts.{}.w2"};
  set_dense_before(draft, require<int64_t>(full, "num_dense_layers"));
  return finished(std::move(draft));
}

}  // namespace prune::models
