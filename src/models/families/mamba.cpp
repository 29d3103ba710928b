#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/models/model_shape.h>

#include <map>

#include "families.h"

// Models with Mamba-2, as in transformers/models/{mamba2,nemotron_h,falcon_h1,granitemoehybrid}: src/models/README.md, "Mixers with a
// state".

namespace prune::models {
namespace {

/// How a family's config.json calls the sizes of its Mamba-2, and what its tensors begin with.
struct MambaKeys {
  const char* prefix;
  const char* heads;
  const char* groups;
  const char* state;
  const char* kernel;
  const char* conv_bias;
  const char* bias;
};

constexpr MambaKeys kMamba2{.prefix = "mixer.",
                            .heads = "num_heads",
                            .groups = "n_groups",
                            .state = "state_size",
                            .kernel = "conv_kernel",
                            .conv_bias = "use_conv_bias",
                            .bias = "use_bias"};
constexpr MambaKeys kNemotron{.prefix = "mixer.",
                              .heads = "mamba_num_heads",
                              .groups = "n_groups",
                              .state = "ssm_state_size",
                              .kernel = "conv_kernel",
                              .conv_bias = "use_conv_bias",
                              .bias = "use_bias"};
constexpr MambaKeys kFalconAndGranite{.prefix = "mamba.",
                                      .heads = "mamba_n_heads",
                                      .groups = "mamba_n_groups",
                                      .state = "mamba_d_state",
                                      .kernel = "mamba_d_conv",
                                      .conv_bias = "mamba_conv_bias",
                                      .bias = "mamba_proj_bias"};

/// All but the size of a head.
Mamba2Spec read_mamba(const json& config, const MambaKeys& keys, double eps) {
  return {.prefix = keys.prefix,
          .heads = require_positive(config, keys.heads),
          .groups = require_positive(config, keys.groups),
          .state = require_positive(config, keys.state),
          .kernel = require_positive(config, keys.kernel, kLargestKernel),
          .conv_bias = value_or(config, keys.conv_bias, true),
          .bias = value_or(config, keys.bias, false),
          .eps = eps};
}

/// Completes the sizes. @throws Error(input) naming `heads_key` if they do not fit together
Mamba2Spec checked(Mamba2Spec mamba, int64_t width, const char* heads_key) {
  if (width % mamba.heads != 0 || mamba.heads % mamba.groups != 0) {
    throw_json_error(heads_key, fmt::format("{} heads in {} groups do not divide a width of {}",
                                            mamba.heads, mamba.groups, width));
  }
  mamba.head_dim = width / mamba.heads;
  return mamba;
}

/// A number of [least, most], where most may be {"__float__": "Infinity"}.
void read_step_limit(const json& config, Mamba2Spec& mamba) {
  const json limit = value_or(config, "time_step_limit", json());
  if (!limit.is_array() || limit.size() != 2) return;
  if (limit[0].is_number()) mamba.least_step = limit[0].get<double>();
  if (limit[1].is_number()) mamba.largest_step = limit[1].get<double>();
}

enum class Layer { kMamba, kAttention, kFfn, kExperts };

/// One entry for each block, from `layers_block_type`, `layer_types` or `hybrid_override_pattern`.
std::vector<Layer> nemotron_layers(const json& config) {
  static const std::map<std::string, Layer> kTypes = {{"M", Layer::kMamba},
                                                      {"mamba", Layer::kMamba},
                                                      {"linear_attention", Layer::kMamba},
                                                      {"*", Layer::kAttention},
                                                      {"attention", Layer::kAttention},
                                                      {"full_attention", Layer::kAttention},
                                                      {"-", Layer::kFfn},
                                                      {"mlp", Layer::kFfn},
                                                      {"E", Layer::kExperts},
                                                      {"moe", Layer::kExperts}};
  std::vector<std::string> names;
  const char* key = "hybrid_override_pattern";
  for (const char letter : value_or<std::string>(config, key, "")) names.emplace_back(1, letter);
  for (const char* other : {"layers_block_type", "layer_types"}) {
    if (!names.empty()) break;
    key = other;
    names = value_or<std::vector<std::string>>(config, key, {});
  }
  if (names.empty()) throw_json_error("layers_block_type", "is missing");
  std::vector<Layer> layers;
  for (const std::string& name : names) {
    const auto found = kTypes.find(name);
    if (found == kTypes.end()) {
      throw_json_error(
          key, fmt::format("calls layer {} '{}', which is not supported", layers.size(), name));
    }
    layers.push_back(found->second);
  }
  return layers;
}

}  // namespace

DecoderSpec read_mamba2(const json& config) {
  json full = with_defaults({{"n_groups", 8},
                             {"state_size", 128},
                             {"conv_kernel", 4},
                             {"expand", 2},
                             {"layer_norm_epsilon", 1e-5},
                             {"max_position_embeddings", int64_t{1} << 20}},
                            config);
  full["rms_norm_eps"] = full["layer_norm_epsilon"];
  // Attention and feed-forward, which no block has.
  full["num_attention_heads"] = 1;
  full["intermediate_size"] = 0;
  Draft draft = standard_decoder(full);
  draft.has_ffn = false;
  draft.adjust = [](int64_t, BlockSpec& spec) { spec.attention = {}; };
  set_names(
      draft,
      {.base = "backbone.", .blocks = "layers", .tokens = "embeddings", .final_norm = "norm_f"});
  Mamba2Spec mamba = read_mamba(full, kMamba2, draft.block.norm.eps);
  read_step_limit(full, mamba);
  draft.block.mixer = checked(
      mamba, require_positive(full, "expand") * draft.model.config.hidden_size, "num_heads");
  draft.block.names.before_attention = "norm";
  draft.block.names.before_ffn = "";
  draft.linears.mixer_in = "mixer.in_proj";
  draft.linears.mixer_out = "mixer.out_proj";
  return finished(std::move(draft));
}

DecoderSpec read_nemotron_h(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 8},
                             {"head_dim", 128},
                             {"intermediate_size", 21504},
                             {"ssm_state_size", 128},
                             {"mamba_num_heads", 128},
                             {"mamba_head_dim", 64},
                             {"n_groups", 8},
                             {"conv_kernel", 4},
                             {"layer_norm_epsilon", 1e-5},
                             {"time_step_min", 0.001},
                             {"num_experts_per_tok", 2},
                             {"moe_intermediate_size", 7688},
                             {"moe_shared_expert_intermediate_size", 7688},
                             {"max_position_embeddings", 4096}},
                            config);
  const std::vector<Layer> layers = nemotron_layers(full);
  full["num_hidden_layers"] = layers.size();
  full["rms_norm_eps"] = full["layer_norm_epsilon"];
  full["hidden_act"] = value_or<std::string>(full, "mlp_hidden_act", "relu2");
  Draft draft = standard_decoder(full, with_experts());
  set_names(
      draft,
      {.base = "backbone.", .blocks = "layers", .tokens = "embeddings", .final_norm = "norm_f"});
  draft.block.attention.rope.reset();
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  draft.ffn_bias = value_or(full, "mlp_bias", false);
  Mamba2Spec mamba = read_mamba(full, kNemotron, draft.block.norm.eps);
  mamba.least_step = require<double>(full, "time_step_min");
  mamba.norm_groups = mamba.groups;
  mamba = checked(mamba, mamba.heads * require_positive(full, "mamba_head_dim"), "mamba_num_heads");
  LinearNames& names = draft.linears;
  names.query = "mixer.q_proj";
  names.key = "mixer.k_proj";
  names.value = "mixer.v_proj";
  names.out = "mixer.o_proj";
  names.mixer_in = "mixer.in_proj";
  names.mixer_out = "mixer.out_proj";
  names.fc1 = "mixer.up_proj";
  names.down = "mixer.down_proj";
  draft.block.ffn.form = FfnForm::kPlain;
  const bool has_experts = std::ranges::find(layers, Layer::kExperts) != layers.end();
  if (has_experts) {
    draft.dense = names;
    set_experts(
        draft, read_sigmoid_router(full, "mixer.gate.weight", "mixer.gate.e_score_correction_bias"),
        require_positive(full, "moe_intermediate_size"),
        require_positive(full, "moe_shared_expert_intermediate_size"));
    if (!value_or(full, "moe_latent_size", json()).is_null()) {
      MoeSpec& moe = *draft.block.moe;
      moe.latent_size = require_positive(full, "moe_latent_size");
      moe.to_latent = "mixer.fc1_latent_proj";
      moe.from_latent = "mixer.fc2_latent_proj";
      moe.latent_bias = draft.ffn_bias;
    }
    names.fc1 = "mixer.shared_experts.up_proj";
    names.down = "mixer.shared_experts.down_proj";
    draft.experts = {.up = "mixer.experts.{}.up_proj", .down = "mixer.experts.{}.down_proj"};
    draft.is_dense = [=](int64_t block) {
      return layers[static_cast<size_t>(block)] == Layer::kFfn;
    };
  }
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const Layer layer = layers[static_cast<size_t>(block)];
    if (layer == Layer::kMamba || layer == Layer::kAttention) {
      spec.names.before_attention = "norm";
      spec.names.before_ffn = "";
      spec.ffn.width = 0;
      spec.moe.reset();
    } else {
      spec.names.before_attention = "";
      spec.names.before_ffn = "norm";
      spec.mixer = NoMixerSpec{};
    }
    if (layer == Layer::kMamba) spec.mixer = mamba;
    if (layer != Layer::kAttention) spec.attention = {};
  };
  return finished(std::move(draft));
}

DecoderSpec read_falcon_h1(const json& config) {
  json full = with_defaults({{"num_key_value_heads", 8},
                             {"rms_norm_eps", 1e-5},
                             {"mamba_d_ssm", 1024},
                             {"mamba_n_heads", 128},
                             {"mamba_n_groups", 1},
                             {"mamba_d_state", 256},
                             {"mamba_d_conv", 4},
                             {"mamba_expand", 2},
                             {"max_position_embeddings", 8192}},
                            config);
  const auto multiplier = [&](const char* key) { return value_or(full, key, 1.0); };
  const auto multipliers = [&](const char* key, size_t count) {
    auto values = value_or<std::vector<double>>(full, key, {});
    if (!values.empty() && values.size() != count) {
      throw_json_error(key, fmt::format("has {} entries; it must have {}", values.size(), count));
    }
    return values;
  };
  Draft draft = standard_decoder(full);
  set_names(draft, {.base = "model.",
                    .blocks = "layers",
                    .tokens = "embed_tokens",
                    .final_norm = "final_layernorm"});
  draft.block.names.before_ffn = "pre_ff_layernorm";
  draft.qkv_bias = value_or(full, "attention_bias", false);
  draft.out_bias = draft.qkv_bias;
  draft.ffn_bias = value_or(full, "mlp_bias", false);
  draft.model.embedding.scale = multiplier("embedding_multiplier");
  draft.model.head.multiplier = multiplier("lm_head_multiplier");
  AttentionSpec& attention = draft.block.attention;
  attention.input_multiplier = multiplier("attention_in_multiplier");
  attention.key_multiplier = multiplier("key_multiplier");
  attention.output_multiplier = multiplier("attention_out_multiplier");
  if (const auto of_ffn = multipliers("mlp_multipliers", 2); !of_ffn.empty()) {
    draft.block.ffn.gate_multiplier = of_ffn[0];
    draft.block.ffn.output_multiplier = of_ffn[1];
  }
  Mamba2Spec mamba = read_mamba(full, kFalconAndGranite, draft.block.norm.eps);
  mamba.gate = Mamba2Spec::Gate::kAlone;
  mamba.beside_attention = true;
  mamba.input_multiplier = multiplier("ssm_in_multiplier");
  mamba.output_multiplier = multiplier("ssm_out_multiplier");
  mamba.multipliers = multipliers("ssm_multipliers", 5);
  if (value_or(full, "mamba_rms_norm", false)) {
    mamba.gate = value_or(full, "mamba_norm_before_gate", true) ? Mamba2Spec::Gate::kAfterNorm
                                                                : Mamba2Spec::Gate::kBeforeNorm;
    mamba.norm_groups = mamba.groups;
  }
  read_step_limit(full, mamba);
  const bool has_width = !value_or(full, "mamba_d_ssm", json()).is_null();
  const int64_t width =
      has_width ? require_positive(full, "mamba_d_ssm")
                : require_positive(full, "mamba_expand") * draft.model.config.hidden_size;
  draft.block.mixer = checked(mamba, width, "mamba_n_heads");
  LinearNames& names = draft.linears;
  names.mixer_in = "mamba.in_proj";
  names.mixer_out = "mamba.out_proj";
  names.gate = "feed_forward.gate_proj";
  names.up = "feed_forward.up_proj";
  names.down = "feed_forward.down_proj";
  return finished(std::move(draft));
}

DecoderSpec read_granitemoehybrid(const json& config) {
  const json full = with_defaults({{"mamba_n_heads", 128},
                                   {"mamba_n_groups", 1},
                                   {"mamba_d_state", 256},
                                   {"mamba_d_conv", 4},
                                   {"mamba_expand", 2},
                                   {"shared_intermediate_size", 1024}},
                                  config);
  Draft draft = standard_decoder(full, with_experts());
  set_granite_multipliers(draft, full);
  draft.qkv_bias = draft.out_bias = value_or(full, "attention_bias", false);
  if (value_or<json>(full, "position_embedding_type", nullptr) != "rope") {
    draft.block.attention.rope.reset();
  }
  Mamba2Spec mamba = read_mamba(full, kFalconAndGranite, draft.block.norm.eps);
  read_step_limit(full, mamba);
  mamba = checked(mamba, require_positive(full, "mamba_expand") * draft.model.config.hidden_size,
                  "mamba_n_heads");
  draft.linears.mixer_in = "mamba.in_proj";
  draft.linears.mixer_out = "mamba.out_proj";
  set_mixer(draft, full, mamba, {"linear_attention", "mamba"}, [](int64_t) { return true; });
  const auto shared = require_positive(full, "shared_intermediate_size");
  draft.block.ffn.form = FfnForm::kFused;
  if (expert_counts_in(full).empty()) {
    draft.block.ffn.width = shared;
  } else {
    set_granite_experts(draft, full, shared);
  }
  draft.linears.gate_up = "shared_mlp.input_linear";
  draft.linears.down = "shared_mlp.output_linear";
  return finished(std::move(draft));
}

}  // namespace prune::models
