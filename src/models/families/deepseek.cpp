#include <algorithm>
#include <cmath>

#include "families.h"

// Latent attention with experts, as in transformers/models/{deepseek_v2,deepseek_v3,deepseek_v32,glm4_moe_lite,glm_moe_dsa,
// kimi_linear,mistral4}:
// src/models/README.md, "DeepSeek".

namespace prune::models {
namespace {

/// Latent attention under DeepSeek's keys. @param config  with defaults
void set_latent_attention(Draft& draft, const json& config) {
  AttentionSpec& attention = draft.block.attention;
  const LatentSpec latent{.query_rank = value_or<int64_t>(config, "q_lora_rank", 0),
                          .key_rank = require<int64_t>(config, "kv_lora_rank"),
                          .plain_dims = require<int64_t>(config, "qk_nope_head_dim"),
                          .rotated_dims = require<int64_t>(config, "qk_rope_head_dim"),
                          .value_dims = require<int64_t>(config, "v_head_dim"),
                          .norm = {.eps = 1e-6}};
  attention.latent = latent;
  attention.kv_heads = attention.heads;
  attention.head_dim = latent.plain_dims + latent.rotated_dims;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(attention.head_dim));
  attention.rope = read_rope(config, latent.rotated_dims);
  attention.rope->interleaved = value_or(config, "rope_interleave", true);
  const RopeSpec& rope = *attention.rope;
  if (rope.type != RopeType::kDefault && rope.mscale_all_dim != 0.0 && rope.factor > 1.0) {
    attention.scale *= std::pow(0.1 * rope.mscale_all_dim * std::log(rope.factor) + 1.0, 2);
  }
  draft.partial_rope = true;
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
}

Draft latent_decoder(const json& config) {
  // Its head_dim, where there is one, is that of the rotated part.
  json own = config;
  own["head_dim"] = 1;
  own["num_key_value_heads"] = require<int64_t>(config, "num_attention_heads");
  own.erase("partial_rotary_factor");
  Draft draft = standard_decoder(own, with_experts({"rope_parameters"}));
  set_latent_attention(draft, config);
  return draft;
}

json with_v3_defaults(const json& config) {
  return with_defaults({{"q_lora_rank", 1536},
                        {"kv_lora_rank", 512},
                        {"qk_nope_head_dim", 128},
                        {"qk_rope_head_dim", 64},
                        {"v_head_dim", 128},
                        {"n_shared_experts", 1},
                        {"n_group", 8},
                        {"topk_group", 4},
                        {"num_experts_per_tok", 8},
                        {"routed_scaling_factor", 2.5},
                        {"first_k_dense_replace", 3},
                        {"max_position_embeddings", 4096}},
                       config);
}

/// DeepSeek-V3 with the router and blocks of its keys. @param config  with defaults
Draft v3_decoder(const json& config) {
  Draft draft = latent_decoder(config);
  set_shared_experts(draft, config, read_sigmoid_router(config),
                     value_or<int64_t>(config, "n_shared_experts", 0));
  set_dense_blocks(draft, config, value_or<int64_t>(config, "first_k_dense_replace", 1));
  return draft;
}

/// The lightning indexer of DeepSeek-V3.2 (arXiv 2512.02556).
void set_indexer(Draft& draft, const json& config) {
  set_selected_keys(draft, value_or<int64_t>(config, "index_topk", 2048), "index_topk",
                    {"self_attn.indexer."});
}

}  // namespace

DecoderSpec read_deepseek_v2(const json& config) {
  const json full = with_defaults({{"q_lora_rank", 1536},
                                   {"kv_lora_rank", 512},
                                   {"qk_nope_head_dim", 128},
                                   {"qk_rope_head_dim", 64},
                                   {"v_head_dim", 128},
                                   {"n_shared_experts", 2},
                                   {"first_k_dense_replace", 0}},
                                  config);
  Draft draft = latent_decoder(full);
  RouterSpec router = read_router(full, "mlp.gate.weight");
  router.in_float = true;
  router.scale = value_or(full, "routed_scaling_factor", 1.0);
  const auto method = value_or<std::string>(full, "topk_method", "greedy");
  if (method == "group_limited_greedy") {
    router.groups = require<int64_t>(full, "n_group");
    router.groups_chosen = require<int64_t>(full, "topk_group");
  } else if (method != "greedy") {
    throw_json_error("topk_method", fmt::format("is '{}', which is not supported", method));
  }
  draft.ffn_bias = value_or(full, "mlp_bias", false);
  set_shared_experts(draft, full, std::move(router),
                     value_or<int64_t>(full, "n_shared_experts", 0));
  set_dense_before(draft, require<int64_t>(full, "first_k_dense_replace"));
  return finished(std::move(draft));
}

DecoderSpec read_deepseek_v3(const json& config) {
  json full = with_v3_defaults(config);
  full.erase("mlp_layer_types");
  return finished(v3_decoder(full));
}

DecoderSpec read_deepseek_v32(const json& config) {
  const json full = with_v3_defaults(with_defaults({{"max_position_embeddings", 163840}}, config));
  Draft draft = v3_decoder(full);
  set_indexer(draft, full);
  return finished(std::move(draft));
}

DecoderSpec read_glm4_moe_lite(const json& config) {
  const json full = with_defaults({{"q_lora_rank", 768},
                                   {"kv_lora_rank", 512},
                                   {"qk_nope_head_dim", 192},
                                   {"qk_rope_head_dim", 64},
                                   {"v_head_dim", 256},
                                   {"n_shared_experts", 1},
                                   {"num_experts_per_tok", 4},
                                   {"routed_scaling_factor", 1.8},
                                   {"rms_norm_eps", 1e-5},
                                   {"max_position_embeddings", 202752}},
                                  config);
  return finished(v3_decoder(full));
}

DecoderSpec read_glm_moe_dsa(const json& config) {
  const json full = with_defaults({{"q_lora_rank", 2048},
                                   {"kv_lora_rank", 512},
                                   {"qk_nope_head_dim", 192},
                                   {"qk_rope_head_dim", 64},
                                   {"v_head_dim", 256},
                                   {"n_shared_experts", 1},
                                   {"num_experts_per_tok", 8},
                                   {"routed_scaling_factor", 2.5},
                                   {"first_k_dense_replace", 3},
                                   {"rms_norm_eps", 1e-5},
                                   {"max_position_embeddings", 202752}},
                                  config);
  Draft draft = v3_decoder(full);
  set_indexer(draft, full);
  return finished(std::move(draft));
}

DecoderSpec read_kimi_linear(const json& config) {
  json full = with_defaults({{"kv_lora_rank", 512},
                             {"qk_nope_head_dim", 128},
                             {"qk_rope_head_dim", 64},
                             {"v_head_dim", 128},
                             {"num_shared_experts", 1},
                             {"num_experts_per_token", 8},
                             {"moe_renormalize", true},
                             {"routed_scaling_factor", 2.446},
                             {"rms_norm_eps", 1e-5},
                             {"linear_head_dim", 128},
                             {"linear_num_heads", 32},
                             {"linear_conv_kernel_dim", 4},
                             {"model_max_length", 1048576}},
                            config);
  for (const auto& [key, own] : {std::pair{"n_shared_experts", "num_shared_experts"},
                                 {"num_experts_per_tok", "num_experts_per_token"},
                                 {"norm_topk_prob", "moe_renormalize"},
                                 {"n_group", "num_expert_group"},
                                 {"max_position_embeddings", "model_max_length"}}) {
    if (full.contains(own) && !config.contains(key)) full[key] = full[own];
  }
  const json linear = value_or(full, "linear_attn_config", json::object());
  for (const auto& [key, own] : {std::pair{"linear_head_dim", "head_dim"},
                                 {"linear_num_heads", "num_heads"},
                                 {"linear_conv_kernel_dim", "short_conv_kernel_size"}}) {
    if (linear.contains(own)) full[key] = linear[own];
  }
  Draft draft = latent_decoder(full);
  draft.block.attention.rope.reset();
  set_shared_experts(draft, full,
                     read_sigmoid_router(full, "block_sparse_moe.gate.weight",
                                         "block_sparse_moe.gate.e_score_correction_bias"),
                     require<int64_t>(full, "n_shared_experts"), "block_sparse_moe.shared_experts");
  draft.experts = {.gate = "block_sparse_moe.experts.{}.w1",
                   .up = "block_sparse_moe.experts.{}.w3",
                   .down = "block_sparse_moe.experts.{}.w2"};
  set_dense_blocks(draft, full, value_or<int64_t>(full, "first_k_dense_replace", 1));
  draft.linears.mixer_out = "self_attn.o_proj";
  // The numbers in linear_attn_config are counted from 1.
  const auto attends = value_or<std::vector<int64_t>>(linear, "full_attn_layers", {});
  set_mixer(
      draft, full,
      KimiDeltaSpec{.prefix = "self_attn.",
                    .heads = require_positive(full, "linear_num_heads"),
                    .head_dim = require_positive(full, "linear_head_dim"),
                    .kernel = require_positive(full, "linear_conv_kernel_dim", kLargestKernel),
                    .eps = draft.block.norm.eps},
      {"linear_attention"}, [=](int64_t block) {
        if (attends.empty()) return block % 4 != 0 || block == 0;
        return std::ranges::find(attends, block + 1) == attends.end();
      });
  return finished(std::move(draft));
}

DecoderSpec read_mistral4(const json& config) {
  const json full = with_defaults({{"q_lora_rank", 1024},
                                   {"kv_lora_rank", 256},
                                   {"qk_nope_head_dim", 64},
                                   {"qk_rope_head_dim", 64},
                                   {"v_head_dim", 128},
                                   {"n_shared_experts", 1},
                                   {"num_experts_per_tok", 4},
                                   {"max_position_embeddings", 1048576}},
                                  config);
  // Of a whole head: the part that is rotated is a size of its own.
  json without_part = full;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (value_or(full, key, json()).is_object()) without_part[key].erase("partial_rotary_factor");
  }
  Draft draft = latent_decoder(without_part);
  set_temperature(draft, full);
  RouterSpec router = read_sigmoid_router(full);
  router.correction = "";
  router.in_float = false;
  router.score = RouterSpec::Score::kSoftmax;
  set_shared_experts(draft, full, router, value_or<int64_t>(full, "n_shared_experts", 0));
  set_dense_before(draft, value_or<int64_t>(full, "first_k_dense_replace", 0));
  draft.block.moe->expert.form = FfnForm::kFused;
  draft.experts.gate = "mlp.experts.{}.gate_up_proj";
  draft.experts.gate_up_stack = "mlp.experts.gate_up_proj";
  draft.experts.down_stack = "mlp.experts.down_proj";
  return finished(std::move(draft));
}

}  // namespace prune::models
