#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "families.h"

// Attention with gates of its output, values of another size, or norms behind the rotation, as in
// transformers/models/{afmoe,hunyuan_v1_dense,hunyuan_v1_moe,mimo_v2_flash,muse_glimmer,step3p7}: src/models/README.md, "Other
// families" and "Experts".

namespace prune::models {
namespace {

/// A window in the blocks that slide; without rotation in the others.
void set_windows_without_rope(Draft& draft, const json& config,
                              const std::function<bool(int64_t)>& slides_by_default) {
  const int64_t window = window_of(config);
  const std::vector<bool> sliding =
      sliding_layers(config, draft.model.config.blocks, slides_by_default);
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const bool slides = sliding[static_cast<size_t>(block)];
    spec.attention.window = slides ? window : 0;
    if (!slides) spec.attention.rope.reset();
  };
}

/// `alpha` stretches the rotation: theta becomes theta alpha^(head_dim / (head_dim - 2)).
json with_plain_rope(json config) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const json parameters = value_or(config, key, json());
    if (!parameters.is_object() || value_or(parameters, "alpha", 0.0) == 0.0) continue;
    const auto heads = require_positive(config, "num_attention_heads");
    const int64_t from_heads = require_positive(config, "hidden_size") / heads;
    const auto head_dim = static_cast<double>(
        std::max<int64_t>(4, value_or<int64_t>(config, "head_dim", from_heads)));
    const double theta =
        value_or(parameters, "rope_theta", value_or(config, "rope_theta", 10000.0)) *
        std::pow(value_or(parameters, "alpha", 1.0), head_dim / (head_dim - 2.0));
    config[key] = {{"rope_type", "default"}, {"rope_theta", theta}};
  }
  return config;
}

Draft hunyuan(const json& config, const std::vector<std::string>& own_keys) {
  Draft draft = standard_decoder(config, own_keys);
  draft.qkv_bias = draft.out_bias = value_or(config, "attention_bias", false);
  AttentionSpec& attention = draft.block.attention;
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  attention.norm_after_rope = true;
  draft.block.names.query = "self_attn.query_layernorm";
  draft.block.names.key = "self_attn.key_layernorm";
  return draft;
}

json with_hunyuan_defaults(const json& config) {
  return with_plain_rope(with_defaults({{"rms_norm_eps", 1e-5}}, config));
}

/// Step-3.5's keys as on the hub, in the words of other families.
json step_config(const json& config) {
  json full = with_defaults({{"head_dim", 128},
                             {"rms_norm_eps", 1e-5},
                             {"num_experts_per_tok", 8},
                             {"moe_router_scaling_factor", 1.0},
                             {"share_expert_dim", 1280},
                             {"moe_intermediate_size", 1280},
                             {"max_position_embeddings", 128000}},
                            config);
  const auto blocks = require_positive(full, "num_hidden_layers");
  // Its entries go on with those of multi-token prediction.
  if (json& types = full["layer_types"]; types.is_array() && std::ssize(types) > blocks) {
    types.erase(types.begin() + blocks, types.end());
  }
  for (const auto& [key, as] : {std::pair{"num_attention_groups", "num_key_value_heads"},
                                {"share_expert_dims", "share_expert_dim"},
                                {"moe_top_k", "num_experts_per_tok"}}) {
    if (full.contains(key)) full[as] = full[key];
  }
  full["hidden_act"] = "silu";
  const json other = value_or(full, "attention_other_setting", json::object());
  if (other.contains("num_attention_heads")) {
    full["num_sliding_attention_heads"] = other["num_attention_heads"];
  }
  if (const json sparse = value_or(full, "moe_layers_enum", json()); sparse.is_string()) {
    full["mlp_layer_types"] = json(static_cast<size_t>(blocks), json("dense"));
    std::stringstream numbers(sparse.get<std::string>());
    for (std::string number; std::getline(numbers, number, ',');) {
      const auto block = static_cast<size_t>(std::atoll(number.c_str()));
      if (block < full["mlp_layer_types"].size()) full["mlp_layer_types"][block] = "sparse";
    }
  }
  return full;
}

/// Of a key whose value is one number for all blocks, or one for each, which may be null.
double number_of(const json& config, const char* key, int64_t block, double otherwise) {
  json value = value_or(config, key, json());
  if (value.is_array() && !value.empty()) {
    if (std::ssize(value) <= block) {
      throw_json_error(key, fmt::format("has {} entries, none for layer {}", value.size(), block));
    }
    value = json(value[static_cast<size_t>(block)]);
  }
  return value.is_number() ? value.get<double>() : otherwise;
}

}  // namespace

DecoderSpec read_hunyuan_v1_dense(const json& config) {
  return finished(hunyuan(with_hunyuan_defaults(config), {"num_experts"}));
}

DecoderSpec read_hunyuan_v1_moe(const json& config) {
  json full = with_hunyuan_defaults(config);
  if (full.contains("moe_topk")) full["num_experts_per_tok"] = full["moe_topk"];
  Draft draft = hunyuan(full, with_experts());
  RouterSpec router = read_router(full, "mlp.gate.wg.weight");
  router.in_float = true;
  router.normalised = true;
  set_experts(draft, router, draft.block.ffn.width, draft.block.ffn.width, "mlp.shared_mlp");
  return finished(std::move(draft));
}

DecoderSpec read_afmoe(const json& config) {
  const json full = with_defaults({{"head_dim", 128},
                                   {"rms_norm_eps", 1e-5},
                                   {"num_experts", 64},
                                   {"num_experts_per_tok", 6},
                                   {"num_shared_experts", 2},
                                   {"num_dense_layers", 1},
                                   {"sliding_window", 1024},
                                   {"max_position_embeddings", 16384}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.block.topology = Topology::kSandwich;
  draft.block.norm.kind = NormKind::kRmsFloat;
  draft.block.names.after_attention = "post_attention_layernorm";
  draft.block.names.before_ffn = "pre_mlp_layernorm";
  draft.block.names.after_ffn = "post_mlp_layernorm";
  AttentionSpec& attention = draft.block.attention;
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  attention.output_gate = OutputGate::kLayer;
  if (value_or(full, "mup_enabled", false)) {
    draft.model.embedding.scale = std::sqrt(static_cast<double>(draft.model.config.hidden_size));
  }
  RouterSpec router = read_sigmoid_router(full, "mlp.router.gate.weight", "mlp.expert_bias");
  router.in_float = false;
  router.groups = 1;
  router.scale = value_or(full, "route_scale", 1.0);
  set_shared_experts(draft, full, router, require<int64_t>(full, "num_shared_experts"));
  set_dense_before(draft, require<int64_t>(full, "num_dense_layers"));
  const auto every = value_or<int64_t>(full, "global_attn_every_n_layers", 4);
  if (every < 1) throw_json_error("global_attn_every_n_layers", "must be positive");
  set_windows_without_rope(draft, full, [=](int64_t block) { return (block + 1) % every != 0; });
  return finished(std::move(draft));
}

DecoderSpec read_muse_glimmer(const json& config) {
  json full = with_defaults({{"head_dim", 128},
                             {"rms_norm_eps", 1e-5},
                             {"hidden_activation", "silu"},
                             {"sliding_window", 2048},
                             {"final_logit_softcapping", 20.0},
                             {"qk_scale_factor", 3.87},
                             {"output_multiplier", 0.19611613513818404},
                             {"post_norm_eps", 1e-8},
                             {"max_position_embeddings", 131072}},
                            config);
  full["hidden_act"] = full["hidden_activation"];
  Draft draft = standard_decoder(full, {"final_logit_softcapping"});
  const double eps = draft.block.norm.eps;
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.block.topology = Topology::kSandwich;
  draft.block.norm.kind = NormKind::kRmsPlusOne;
  draft.block.eps_after = require<double>(full, "post_norm_eps");
  draft.block.names.after_attention = "post_attention_layernorm";
  draft.block.names.before_ffn = "pre_feedforward_layernorm";
  draft.block.names.after_ffn = "post_feedforward_layernorm";
  AttentionSpec& attention = draft.block.attention;
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = {.kind = NormKind::kRmsFloat, .eps = eps, .weight = false};
  attention.scale *= require<double>(full, "qk_scale_factor");
  attention.output_gate = OutputGate::kLayer;
  draft.model.embedding.norm = NormSpec{.kind = NormKind::kRmsFloat, .eps = eps, .weight = false};
  draft.final_norm = false;
  draft.model.head.norm = NormSpec{.kind = NormKind::kRmsFloat, .eps = eps};
  draft.model.head.multiplier = require<double>(full, "output_multiplier");
  draft.model.head.softcap = require<double>(full, "final_logit_softcapping");
  const int64_t last = draft.model.config.blocks - 1;
  const int64_t window = window_of(full);
  const std::vector<bool> sliding =
      sliding_layers(full, last + 1, [=](int64_t block) { return (last - block) % 4 != 0; });
  const auto thetas = value_or<std::vector<double>>(full, "layer_rope_theta", {});
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const auto number = static_cast<size_t>(block);
    spec.attention.window = sliding[number] ? window : 0;
    const bool rotates =
        thetas.empty() ? (last - block) % 4 != 0 : number < thetas.size() && thetas[number] != 0.0;
    if (!rotates) spec.attention.rope.reset();
  };
  return finished(std::move(draft));
}

DecoderSpec read_mimo_v2_flash(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 4},
                             {"head_dim", 192},
                             {"v_head_dim", 128},
                             {"rms_norm_eps", 1e-5},
                             {"sliding_window", 128},
                             {"attention_value_scale", 0.707},
                             {"num_experts_per_tok", 8},
                             {"max_position_embeddings", 131072}},
                            config);
  if (value_or(full, "routed_scaling_factor", json()).is_null())
    full["routed_scaling_factor"] = 1.0;
  if (!full.contains("rope_parameters")) {
    const double part = value_or(full, "partial_rotary_factor", 0.334);
    const auto rope = [&](double theta) {
      return json{{"rope_type", "default"}, {"rope_theta", theta}, {"partial_rotary_factor", part}};
    };
    full["rope_parameters"] = {
        {"full_attention", rope(value_or(full, "rope_theta", 5e6))},
        {"sliding_attention", rope(value_or(full, "swa_rope_theta", 10000.0))}};
  }
  // 1 is a block with a window, or with experts.
  const auto types_of = [&](const char* key, const char* as, const char* zero, const char* one) {
    const json numbers = value_or(full, key, json());
    if (!numbers.is_array() || full.contains(as)) return;
    full[as] = json::array();
    for (const json& number : numbers) full[as].push_back(number == json(0) ? zero : one);
  };
  types_of("hybrid_layer_pattern", "layer_types", "full_attention", "sliding_attention");
  types_of("moe_layer_freq", "mlp_layer_types", "dense", "sparse");
  Draft draft = standard_decoder(full, with_experts({"rope_parameters"}));
  draft.partial_rope = true;
  draft.qkv_bias = value_or(full, "attention_bias", false);
  draft.block.names.sinks = "self_attn.attention_sink_bias";
  AttentionSpec& attention = draft.block.attention;
  attention.value_dim = require_positive(full, "v_head_dim");
  attention.value_scale = value_or(full, "attention_value_scale", 1.0);
  set_shared_experts(draft, full, read_sigmoid_router(full), /*shared=*/0);
  set_dense_blocks(draft, full, /*first_with_experts=*/1);
  const RopeSpec full_rope = read_rope(full, attention.head_dim, "full_attention");
  const RopeSpec sliding_rope = read_rope(full, attention.head_dim, "sliding_attention");
  const int64_t window = window_of(full);
  const std::vector<bool> sliding =
      sliding_layers(full, draft.model.config.blocks,
                     [](int64_t block) { return block != 0 && (block + 1) % 6 != 0; });
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const bool slides = sliding[static_cast<size_t>(block)];
    spec.attention.rope = slides ? sliding_rope : full_rope;
    if (!slides) return;
    spec.attention.window = window;
    spec.attention.kv_heads *= 2;
    spec.attention.sinks = true;
  };
  return finished(std::move(draft));
}

DecoderSpec read_step3p5(const json& config) {
  const json full = step_config(config);
  Draft draft = standard_decoder(full, with_experts({"rope_parameters"}));
  const int64_t blocks = draft.model.config.blocks;
  draft.partial_rope = true;
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.ffn_bias = value_or(full, "mlp_bias", false);
  draft.block.norm.kind = NormKind::kRmsPlusOne;
  draft.block.ffn.limits_activation = true;
  AttentionSpec& attention = draft.block.attention;
  attention.scale = 1.0 / std::sqrt(value_or(full, "query_pre_attn_scalar",
                                             static_cast<double>(attention.head_dim)));
  attention.qk_norm = QkNorm::kHead;
  attention.qk_norm_spec = draft.block.norm;
  attention.output_gate = OutputGate::kHeads;

  RouterSpec router = read_router(full, "moe.gate.weight");
  router.correction = "moe.router_bias";
  router.score = RouterSpec::Score::kSigmoid;
  router.normalised = true;
  router.scale = require<double>(full, "moe_router_scaling_factor");
  draft.dense = draft.linears;
  set_experts(draft, router, require_positive(full, "moe_intermediate_size"),
              require_positive(full, "share_expert_dim"), "share_expert");
  draft.experts = {.gate = "moe.{}.gate_proj",
                   .up = "moe.{}.up_proj",
                   .down = "moe.{}.down_proj",
                   .gate_up_stack = "moe.gate_proj.weight",
                   .up_stack = "moe.up_proj.weight",
                   .down_stack = "moe.down_proj.weight"};
  set_dense_blocks(draft, full, /*first_with_experts=*/3);

  const std::vector<bool> sliding = sliding_layers(full, blocks, [](int64_t) { return false; });
  const int64_t window = window_of(full);
  const auto sliding_heads = value_or(full, "num_sliding_attention_heads", attention.heads);
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const bool slides = sliding[static_cast<size_t>(block)];
    json own = full;
    own["rope_theta"] = number_of(full, "rope_theta", block, 10000.0);
    own["partial_rotary_factor"] = number_of(full, "partial_rotary_factors", block, 1.0);
    if (slides) own.erase("rope_scaling");
    spec.attention.rope =
        read_rope(own, spec.attention.head_dim, slides ? "sliding_attention" : "full_attention");
    spec.attention.window = slides ? window : 0;
    spec.attention.heads =
        of_layer(full, block, "num_attention_heads", slides ? sliding_heads : spec.attention.heads);
    spec.ffn.limit = number_of(full, "swiglu_limits_shared", block, 0.0);
    spec.moe->expert.limit = number_of(full, "swiglu_limits", block, 0.0);
  };
  return finished(std::move(draft));
}

}  // namespace prune::models
