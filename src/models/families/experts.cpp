#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/models/model_shape.h>

#include <algorithm>

#include "families.h"

// Models with experts and the attention of LLaMA, as in transformers/models/{mixtral,qwen2_moe,qwen3_moe,olmoe,granitemoe,
// glm4_moe,minimax_m2,hy_v3,ernie4_5_moe,gpt_oss}: src/models/README.md, "Experts".

namespace prune::models {
namespace {

using Score = RouterSpec::Score;

// Keys under which configurations say how many experts there are.
constexpr const char* kExpertCounts[] = {"num_experts", "num_local_experts", "n_routed_experts",
                                         "moe_num_experts"};

/// w1, w3, w2 are gate, up and down (Mixtral, MiniMax).
void set_w_names(Draft& draft) {
  draft.experts = {.gate = "block_sparse_moe.experts.{}.w1",
                   .up = "block_sparse_moe.experts.{}.w3",
                   .down = "block_sparse_moe.experts.{}.w2"};
}

constexpr double kOaiAlpha = 1.702;

/// x σ(1.702 x)
Tensor quick_gelu(const Tensor& x) { return x * at::sigmoid(x * kOaiAlpha); }

/// (up + 1) · gate σ(1.702 gate), both within a limit
void set_oai_gate(FfnSpec& ffn, double limit) {
  ffn.activation = quick_gelu;
  ffn.limit = limit;
  ffn.up_offset = 1.0;
}

}  // namespace

std::vector<std::string> with_experts(std::vector<std::string> own_keys) {
  own_keys.insert(own_keys.end(), std::begin(kExpertCounts), std::end(kExpertCounts));
  return own_keys;
}

std::vector<std::string> expert_counts_in(const json& raw) {
  std::vector<std::string> keys;
  const json text = value_or(raw, "text_config", json::object());
  for (const auto& [object, prefix] : {std::pair{&raw, ""}, std::pair{&text, "text_config/"}}) {
    for (const char* key : kExpertCounts) {
      if (value_or<int64_t>(*object, key, 0) > 0) keys.push_back(prefix + std::string(key));
    }
  }
  return keys;
}

RouterSpec read_router(const json& config, const std::string& weight, const char* chosen_key) {
  RouterSpec router{.weight = weight, .chosen = require<int64_t>(config, chosen_key)};
  for (const std::string& key : expert_counts_in(config)) {
    router.experts = require<int64_t>(config, key.c_str());
  }
  return router;
}

RouterSpec read_sigmoid_router(const json& config, const std::string& weight,
                               const std::string& correction) {
  RouterSpec router = read_router(config, weight);
  router.correction = correction;
  router.in_float = true;
  router.score = Score::kSigmoid;
  router.groups = value_or<int64_t>(config, "n_group", 1);
  router.groups_chosen = value_or<int64_t>(config, "topk_group", 1);
  router.group_score = RouterSpec::Groups::kSumOfTwo;
  router.normalised = value_or(config, "norm_topk_prob", true);
  router.sum_offset = 1e-20;
  router.scale = value_or(config, "routed_scaling_factor", 1.0);
  return router;
}

void set_experts(Draft& draft, RouterSpec router, int64_t width, int64_t shared_width,
                 const std::string& shared_name) {
  draft.dense_width = draft.block.ffn.width;
  draft.block.moe = {.router = std::move(router), .expert = draft.block.ffn};
  draft.block.moe->expert.width = width;
  draft.block.ffn.width = shared_width;
  draft.linears.gate = shared_name + ".gate_proj";
  draft.linears.up = shared_name + ".up_proj";
  draft.linears.down = shared_name + ".down_proj";
}

void set_dense_before(Draft& draft, int64_t first_with_experts) {
  draft.is_dense = [=](int64_t block) { return block < first_with_experts; };
}

void set_dense_blocks(Draft& draft, const json& config, int64_t first_with_experts) {
  const auto types = value_or<std::vector<std::string>>(config, "mlp_layer_types", {});
  if (types.empty()) return set_dense_before(draft, first_with_experts);
  const int64_t blocks = draft.model.config.blocks;
  if (std::ssize(types) < blocks) {
    throw_json_error("mlp_layer_types",
                     fmt::format("has {} entries for {} layers", types.size(), blocks));
  }
  draft.is_dense = [=](int64_t block) { return types[static_cast<size_t>(block)] == "dense"; };
}

void set_shared_experts(Draft& draft, const json& config, RouterSpec router, int64_t shared,
                        const std::string& shared_name) {
  const auto width = require<int64_t>(config, "moe_intermediate_size");
  set_experts(draft, std::move(router), width, width * shared, shared_name);
}

void set_qwen_experts(Draft& draft, const json& config, int64_t shared_width) {
  RouterSpec router = read_router(config, "mlp.gate.weight");
  router.normalised = value_or(config, "norm_topk_prob", false);
  set_experts(draft, router, require<int64_t>(config, "moe_intermediate_size"), shared_width);
  const auto step = value_or<int64_t>(config, "decoder_sparse_step", 1);
  if (step < 1) throw_json_error("decoder_sparse_step", "must be positive");
  const auto dense = value_or<std::vector<int64_t>>(config, "mlp_only_layers", {});
  draft.is_dense = [=](int64_t block) {
    return std::ranges::find(dense, block) != dense.end() || (block + 1) % step != 0;
  };
}

void set_granite_experts(Draft& draft, const json& config, int64_t shared_width) {
  RouterSpec router = read_router(config, "block_sparse_moe.router.layer.weight");
  router.score = Score::kChosenSoftmax;
  set_experts(draft, router, draft.block.ffn.width, shared_width);
  draft.block.moe->expert.form = FfnForm::kFused;
  draft.experts = {.gate = "block_sparse_moe.input_linear.{}",
                   .down = "block_sparse_moe.output_linear.{}",
                   .gate_up_stack = "block_sparse_moe.input_linear.weight",
                   .down_stack = "block_sparse_moe.output_linear.weight"};
}

DecoderSpec read_mixtral(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 8},
                                   {"rms_norm_eps", 1e-5},
                                   {"rope_theta", 1e6},
                                   {"num_experts_per_tok", 2},
                                   {"max_position_embeddings", 131072}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  RouterSpec router = read_router(full, "block_sparse_moe.gate.weight");
  router.normalised = true;
  set_experts(draft, router, draft.block.ffn.width);
  set_w_names(draft);
  draft.block.attention.window = window_of(full);
  return finished(std::move(draft));
}

DecoderSpec read_qwen2_moe(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 16},
                                   {"sliding_window", 4096},
                                   {"max_position_embeddings", 32768},
                                   {"max_window_layers", 28}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  draft.qkv_bias = value_or(full, "qkv_bias", true);
  set_qwen_experts(draft, full, value_or<int64_t>(full, "shared_expert_intermediate_size", 5632));
  draft.block.moe->shared_gate = "mlp.shared_expert_gate.weight";
  const int64_t window = value_or(full, "use_sliding_window", false) ? window_of(full) : 0;
  const auto windowed = require<int64_t>(full, "max_window_layers");
  const std::vector<bool> sliding = sliding_layers(
      full, draft.model.config.blocks,
      [=](int64_t block) { return window > 0 && block % 2 == 0 && block < windowed; });
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    spec.attention.window = sliding[static_cast<size_t>(block)] ? window : 0;
  };
  return finished(std::move(draft));
}

DecoderSpec read_qwen3_moe(const json& config) {
  const json full = with_defaults(
      {{"num_key_value_heads", 4}, {"sliding_window", 4096}, {"max_position_embeddings", 32768}},
      config);
  Draft draft = standard_decoder(full, with_experts());
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.block.attention.qk_norm = QkNorm::kHead;
  draft.block.attention.qk_norm_spec = draft.block.norm;
  if (value_or(full, "use_sliding_window", false)) draft.block.attention.window = window_of(full);
  set_qwen_experts(draft, full, /*shared_width=*/0);
  return finished(std::move(draft));
}

DecoderSpec read_olmoe(const json& config) {
  json full = with_defaults({{"rms_norm_eps", 1e-5}, {"max_position_embeddings", 4096}}, config);
  full.erase("head_dim");  // Transformers ignores it
  Draft draft = standard_decoder(full, with_experts());
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.block.attention.qk_norm = QkNorm::kFull;
  draft.block.attention.qk_norm_spec = draft.block.norm;
  draft.block.attention.clip = value_or(full, "clip_qkv", 0.0);
  RouterSpec router = read_router(full, "mlp.gate.weight");
  router.normalised = value_or(full, "norm_topk_prob", false);
  set_experts(draft, router, draft.block.ffn.width);
  return finished(std::move(draft));
}

DecoderSpec read_granitemoe(const json& config) {
  Draft draft = standard_decoder(config, with_experts());
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  set_granite_multipliers(draft, config);
  set_granite_experts(draft, config);
  return finished(std::move(draft));
}

DecoderSpec read_glm4_moe(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 8},
                                   {"rms_norm_eps", 1e-5},
                                   {"partial_rotary_factor", 0.5},
                                   {"first_k_dense_replace", 1},
                                   {"n_shared_experts", 1},
                                   {"max_position_embeddings", 131072}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  draft.partial_rope = true;
  draft.qkv_bias = value_or(full, "attention_bias", false);
  if (value_or(full, "use_qk_norm", false)) {
    draft.block.attention.qk_norm = QkNorm::kHead;
    draft.block.attention.qk_norm_spec = draft.block.norm;
  }
  set_shared_experts(draft, full, read_sigmoid_router(full),
                     require<int64_t>(full, "n_shared_experts"));
  set_dense_blocks(draft, full, require<int64_t>(full, "first_k_dense_replace"));
  return finished(std::move(draft));
}

DecoderSpec read_minimax_m2(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 8},
                                   {"head_dim", 128},
                                   {"rope_theta", 5e6},
                                   {"num_experts_per_tok", 8},
                                   {"max_position_embeddings", 196608}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  AttentionSpec& attention = draft.block.attention;
  draft.partial_rope = true;
  // Transformers 5.17 ignores the key and rotates whole heads; later releases do not.
  attention.rope->dims = value_or(full, "rotary_dim", attention.rope->dims);
  attention.qk_norm = QkNorm::kFull;
  attention.qk_norm_spec = draft.block.norm;
  RouterSpec router = read_router(full, "block_sparse_moe.gate.weight");
  router.correction = "block_sparse_moe.e_score_correction_bias";
  router.score = Score::kSigmoid;
  router.normalised = true;
  set_experts(draft, router, draft.block.ffn.width);
  set_w_names(draft);
  return finished(std::move(draft));
}

DecoderSpec read_minimax_m3(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 4},
                             {"head_dim", 128},
                             {"rope_theta", 5e6},
                             {"num_experts_per_tok", 4},
                             {"dense_intermediate_size", 12288},
                             {"shared_intermediate_size", 3072},
                             {"routed_scaling_factor", 2.0},
                             {"rotary_dim", 64},
                             {"max_position_embeddings", 524288}},
                            config);
  full["hidden_act"] = "silu";  // files say "swigluoai"
  if (value_or(full, "swiglu_alpha", kOaiAlpha) != kOaiAlpha) {
    throw_json_error("swiglu_alpha", fmt::format("is not {}, which is not supported", kOaiAlpha));
  }
  if (const json frequency = value_or(full, "moe_layer_freq", json()); frequency.is_array()) {
    full["mlp_layer_types"] = json::array();
    for (const json& entry : frequency) {
      full["mlp_layer_types"].push_back(entry == json(0) ? "dense" : "sparse");
    }
  }
  Draft draft = standard_decoder(full, with_experts());
  draft.block.norm.kind = NormKind::kRmsPlusOne;
  AttentionSpec& attention = draft.block.attention;
  draft.partial_rope = true;
  attention.rope->dims = require<int64_t>(full, "rotary_dim");
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  set_oai_gate(draft.block.ffn, value_or(full, "swiglu_limit", 7.0));
  RouterSpec router = read_router(full, "block_sparse_moe.gate.weight");
  router.correction = "block_sparse_moe.e_score_correction_bias";
  router.score = Score::kSigmoid;
  router.normalised = true;
  router.scale = require<double>(full, "routed_scaling_factor");
  draft.dense = draft.linears;
  set_experts(draft, router, draft.block.ffn.width,
              require<int64_t>(full, "shared_intermediate_size"),
              "block_sparse_moe.shared_experts");
  draft.dense_width = require<int64_t>(full, "dense_intermediate_size");
  set_w_names(draft);
  set_dense_blocks(draft, full, /*first_with_experts=*/0);
  const json sparse = value_or(full, "sparse_attention_config", json::object());
  full = with_defaults({{"index_topk_blocks", value_or<int64_t>(sparse, "sparse_topk_blocks", 16)},
                        {"index_block_size", value_or<int64_t>(sparse, "sparse_block_size", 128)}},
                       full);
  const int64_t keys =
      require_positive(full, "index_topk_blocks") * require_positive(full, "index_block_size");
  set_selected_keys(draft, keys, "index_topk_blocks", {"self_attn.index_", "self_attn.indexer."});
  return finished(std::move(draft));
}

DecoderSpec read_hy_v3(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 8},
                                   {"head_dim", 128},
                                   {"rms_norm_eps", 1e-5},
                                   {"rope_theta", 11158840.0},
                                   {"num_shared_experts", 1},
                                   {"router_scaling_factor", 2.826},
                                   {"max_position_embeddings", 131072}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.block.attention.qk_norm = QkNorm::kHead;
  draft.block.attention.qk_norm_spec = draft.block.norm;
  RouterSpec router = read_sigmoid_router(full, "mlp.router.gate.weight", "mlp.expert_bias");
  router.groups = 1;
  router.normalised = true;
  router.scale = require<double>(full, "router_scaling_factor");
  set_shared_experts(draft, full, router, require<int64_t>(full, "num_shared_experts"),
                     "mlp.shared_mlp");
  set_dense_blocks(draft, full, /*first_with_experts=*/1);
  return finished(std::move(draft));
}

DecoderSpec read_ernie4_5_moe(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 4},
                                   {"rms_norm_eps", 1e-5},
                                   {"rope_theta", 500000.0},
                                   {"max_position_embeddings", 131072},
                                   {"tie_word_embeddings", true},
                                   {"moe_k", 6},
                                   {"moe_num_shared_experts", 2},
                                   {"moe_layer_start_index", 1},
                                   {"moe_layer_end_index", -1},
                                   {"moe_layer_interval", 1}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  draft.block.attention.rope->interleaved = true;
  draft.block.attention.rope->in_float = true;
  draft.qkv_bias = draft.out_bias = draft.ffn_bias = value_or(full, "use_bias", false);
  if (draft.ffn_bias) draft.model.head.bias = "lm_head.bias";
  RouterSpec router = read_router(full, "mlp.gate.weight", "moe_k");
  router.correction = "mlp.moe_statics.e_score_correction_bias";
  router.correction_is_row = true;
  router.in_float = true;
  router.normalised = true;
  router.sum_least = value_or(full, "moe_norm_min", 1e-12);
  set_shared_experts(draft, full, router, require<int64_t>(full, "moe_num_shared_experts"));
  const auto first = require<int64_t>(full, "moe_layer_start_index");
  const auto last = require<int64_t>(full, "moe_layer_end_index");
  const auto interval = require<int64_t>(full, "moe_layer_interval");
  if (interval < 1) throw_json_error("moe_layer_interval", "must be positive");
  draft.is_dense = [=](int64_t block) {
    return (block + 1) % interval != 0 || block < first || (last >= 0 && block > last);
  };
  return finished(std::move(draft));
}

DecoderSpec read_llama4(const json& config) {
  const json full = with_defaults({{"num_key_value_heads", 8},
                                   {"head_dim", 128},
                                   {"rms_norm_eps", 1e-5},
                                   {"rope_theta", 500000.0},
                                   {"intermediate_size_mlp", 16384},
                                   {"num_experts_per_tok", 1},
                                   {"attention_chunk_size", 8192},
                                   {"max_position_embeddings", 131072}},
                                  config);
  Draft draft = standard_decoder(full, with_experts({"no_rope_layers"}));
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  AttentionSpec& attention = draft.block.attention;
  attention.rope->interleaved = true;
  attention.rope->in_float = true;
  if (value_or(full, "use_qk_norm", true)) {
    attention.qk_norm = QkNorm::kHead;
    attention.qk_norm_spec = {.kind = NormKind::kRms, .eps = draft.block.norm.eps, .weight = false};
    attention.norm_after_rope = true;
  }
  LinearNames& names = draft.linears;
  names.gate = "feed_forward.gate_proj";
  names.up = "feed_forward.up_proj";
  names.down = "feed_forward.down_proj";
  draft.dense = names;
  RouterSpec router = read_router(full, "feed_forward.router.weight");
  router.score = Score::kSigmoid;
  router.gates_input = true;
  set_experts(draft, router, draft.block.ffn.width, draft.block.ffn.width,
              "feed_forward.shared_expert");
  draft.dense_width = require<int64_t>(full, "intermediate_size_mlp");
  draft.block.moe->expert.form = FfnForm::kFused;
  draft.experts.gate = "feed_forward.experts.{}.gate_up_proj";
  draft.experts.down = "feed_forward.experts.{}.down_proj";
  draft.experts.gate_up_stack = "feed_forward.experts.gate_up_proj";
  draft.experts.down_stack = "feed_forward.experts.down_proj";
  draft.experts.turned = true;
  const auto step = value_or<int64_t>(full, "interleave_moe_layer_step", 1);
  if (step < 1) throw_json_error("interleave_moe_layer_step", "must be positive");
  const auto listed = value_or<std::vector<int64_t>>(full, "moe_layers", {});
  const bool has_list = value_or(full, "moe_layers", json()).is_array();
  draft.is_dense = [=](int64_t block) {
    return has_list ? std::ranges::find(listed, block) == listed.end() : (block + 1) % step != 0;
  };
  const auto interval = value_or<int64_t>(full, "no_rope_layer_interval", 4);
  if (interval < 1) throw_json_error("no_rope_layer_interval", "must be positive");
  const auto with_rope = value_or<std::vector<int64_t>>(full, "no_rope_layers", {});
  const bool tempered = value_or(full, "attn_temperature_tuning", true);
  const auto positions = value_or<int64_t>(full, "floor_scale", 8192);
  const double beta = value_or(full, "attn_scale", 0.1);
  if (positions < 1) throw_json_error("floor_scale", "must be positive");
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const auto number = static_cast<size_t>(block);
    const bool rotates =
        number < with_rope.size() ? with_rope[number] != 0 : (block + 1) % interval != 0;
    if (rotates) return;
    spec.attention.rope.reset();
    spec.attention.qk_norm = QkNorm::kNone;
    if (!tempered) return;
    spec.attention.temperature_beta = beta;
    spec.attention.temperature_positions = positions;
    spec.attention.temperature_first = 1;
  };
  if (const auto chunk = value_or<int64_t>(full, "attention_chunk_size", 0); chunk > 0) {
    set_selected_keys(draft, chunk, "attention_chunk_size", {});
  }
  return finished(std::move(draft));
}

DecoderSpec read_gpt_oss(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 8},
                             {"head_dim", 64},
                             {"rms_norm_eps", 1e-5},
                             {"rope_theta", 150000.0},
                             {"sliding_window", 128},
                             {"num_experts_per_tok", 4},
                             {"max_position_embeddings", 131072}},
                            config);
  if (!full.contains("rope_scaling") && !full.contains("rope_parameters")) {
    full["rope_scaling"] = {{"rope_type", "yarn"},
                            {"factor", 32.0},
                            {"truncate", false},
                            {"original_max_position_embeddings", 4096}};
  }
  Draft draft = standard_decoder(full, with_experts());
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", true);
  draft.block.attention.sinks = true;
  const int64_t window = window_of(full);
  const std::vector<bool> sliding =
      sliding_layers(full, draft.model.config.blocks, [](int64_t block) { return block % 2 == 0; });
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    spec.attention.window = sliding[static_cast<size_t>(block)] ? window : 0;
  };
  RouterSpec router = read_router(full, "mlp.router.weight");
  router.bias = "mlp.router.bias";
  router.score = Score::kChosenSoftmax;
  set_experts(draft, router, draft.block.ffn.width);
  set_oai_gate(draft.block.moe->expert, value_or(full, "swiglu_limit", 7.0));
  draft.experts.gate_up_stack = "mlp.experts.gate_up_proj";
  draft.experts.gate_up_bias = "mlp.experts.gate_up_proj_bias";
  draft.experts.down_stack = "mlp.experts.down_proj";
  draft.experts.down_bias = "mlp.experts.down_proj_bias";
  draft.experts.turned = true;
  return finished(std::move(draft));
}

}  // namespace prune::models
