#include "draft.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/models/block_sites.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "rope.h"

namespace prune::models {
namespace {

/// Keys of architectures that none of our families has; a family that has one of them reads it itself.
const std::vector<std::string> kForeignKeys = {"num_experts",
                                               "num_local_experts",
                                               "n_routed_experts",
                                               "use_mrope",
                                               "use_bidirectional_attention",
                                               "add_cross_attention",
                                               "attn_logit_softcapping",
                                               "final_logit_softcapping",
                                               "no_rope_layers"};

/// @throws Error(input) if the key is set to anything but null, false, 0 or empty
void reject_key(const json& config, const std::string& key) {
  const json value = value_or(config, key.c_str(), json());
  if (value.is_null() || value == json(false) || value == json(0) || value.empty()) return;
  throw_json_error(key.c_str(), fmt::format("is set to {}, which is not supported", value.dump()));
}

/// A number that may be null or absent.
template <class T>
std::optional<T> optional(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  return require<T>(config, key);
}

/// The layers of a mixer with a state.
struct MixerLayers {
  std::vector<std::pair<Role, int64_t>> first;  ///< with their rows
  int64_t width = 0;                            ///< columns of the last one
  bool bias = false;
};

MixerLayers layers_of(const DeltaNetSpec& net, int64_t /*hidden*/) {
  const int64_t width = net.value_rows();
  if (net.by_key_head) return {.first = {{Role::kMixerIn, net.channels() + width}}, .width = width};
  return {.first = {{Role::kMixerIn, net.channels()}, {Role::kMixerGate, width}}, .width = width};
}

MixerLayers layers_of(const KimiDeltaSpec& net, int64_t /*hidden*/) {
  const int64_t width = net.width();
  return {.first = {{Role::kQuery, width}, {Role::kKey, width}, {Role::kValue, width}},
          .width = width};
}

MixerLayers layers_of(const ShortConvSpec& conv, int64_t hidden) {
  return {.first = {{Role::kMixerIn, 3 * hidden}}, .width = hidden, .bias = conv.bias};
}

MixerLayers layers_of(const Mamba2Spec& mamba, int64_t /*hidden*/) {
  return {.first = {{Role::kMixerIn, mamba.width() + mamba.channels() + mamba.heads}},
          .width = mamba.width(),
          .bias = mamba.bias};
}

MixerLayers layers_of(const NoMixerSpec& /*none*/, int64_t /*hidden*/) { return {}; }
MixerLayers layers_of(const std::monostate& /*attention*/, int64_t /*hidden*/) { return {}; }

std::string name_of(const LinearNames& names, Role role) {
  switch (role) {
    case Role::kQuery:
      return names.query;
    case Role::kKey:
      return names.key;
    case Role::kValue:
      return names.value;
    case Role::kMixerGate:
      return names.mixer_gate;
    default:
      return names.mixer_in;
  }
}

void add_mixer_linears(const Draft& draft, const BlockSpec& block,
                       std::vector<LinearSpec>& linears) {
  const int64_t hidden = draft.model.config.hidden_size;
  const MixerLayers layers =
      std::visit([&](const auto& mixer) { return layers_of(mixer, hidden); }, block.mixer);
  if (layers.first.empty()) return;
  const bool is_beside = block.beside_attention() != nullptr;
  for (const auto& [role, rows] : layers.first) {
    linears.push_back({.name = name_of(draft.linears, role),
                       .rows = rows,
                       .cols = hidden,
                       .bias = layers.bias,
                       .site = is_beside ? kMixerSite : kAttentionSite,
                       .role = role});
  }
  linears.push_back({.name = draft.linears.mixer_out,
                     .rows = hidden,
                     .cols = layers.width,
                     .bias = layers.bias,
                     .site = is_beside ? kMixerOutSite : kOutSite,
                     .writes_stream = true,
                     .role = is_beside ? Role::kMixerOut : Role::kOut});
}

std::vector<LinearSpec> attention_linears(const Draft& draft, const AttentionSpec& attention) {
  const LinearNames& names = draft.linears;
  const int64_t hidden = draft.model.config.hidden_size;
  const int64_t query = attention.query_rows();
  const int64_t key = attention.key_rows();
  const int64_t value = attention.kv_heads * attention.value_size();
  int64_t context = attention.heads * attention.value_size();
  std::vector<LinearSpec> linears;
  const auto reads_input = [&](const std::string& name, int64_t rows, Role role, bool bias) {
    linears.push_back({.name = name,
                       .rows = rows,
                       .cols = hidden,
                       .bias = bias,
                       .site = kAttentionSite,
                       .role = role});
  };
  const auto reads_latent = [&](const std::string& name, int64_t rows, int64_t rank, int64_t site,
                                Role role) {
    linears.push_back({.name = name, .rows = rows, .cols = rank, .site = site, .role = role});
  };
  if (attention.latent) {
    const LatentSpec& latent = *attention.latent;
    const bool has_query_latent = latent.query_rank > 0;
    context = attention.heads * latent.value_dims;
    if (has_query_latent) {
      reads_input(names.query_latent, latent.query_rank, Role::kQueryLatent, draft.qkv_bias);
    } else {
      reads_input(names.query, query, Role::kQuery, /*bias=*/false);
    }
    reads_input(names.key_latent, latent.key_rank + latent.rotated_dims, Role::kKeyLatent,
                draft.qkv_bias);
    if (has_query_latent) {
      reads_latent(names.query_of_latent, query, latent.query_rank, kQueryLatentSite, Role::kQuery);
    }
    reads_latent(names.key_value, attention.heads * (latent.plain_dims + latent.value_dims),
                 latent.key_rank, kKeyLatentSite, Role::kKeyValue);
  } else if (attention.form == QkvForm::kSeparate || attention.form == QkvForm::kKeyIsValue) {
    const bool makes_gate = attention.output_gate == OutputGate::kInQuery;
    reads_input(names.query, makes_gate ? 2 * query : query, Role::kQuery, draft.qkv_bias);
    if (attention.key_reuse != KeyReuse::kReads) {
      reads_input(names.key, key, Role::kKey, draft.qkv_bias);
      if (attention.form == QkvForm::kSeparate) {
        reads_input(names.value, value, Role::kValue, draft.qkv_bias);
      }
    }
  } else {
    reads_input(names.qkv, query + 2 * key, Role::kQkv, draft.qkv_bias);
  }
  if (attention.output_gate == OutputGate::kLayer) {
    reads_input(names.output_gate, context, Role::kOutputGate, /*bias=*/false);
  }
  linears.push_back({.name = names.out,
                     .rows = hidden,
                     .cols = context,
                     .bias = draft.out_bias,
                     .site = kOutSite,
                     .writes_stream = true,
                     .role = Role::kOut});
  return linears;
}

/// The layers of the feed-forward that all tokens pass.
void add_ffn_linears(const Draft& draft, const BlockSpec& block, const LinearNames& names,
                     std::vector<LinearSpec>& linears) {
  const FfnSpec& ffn = block.ffn;
  if (ffn.width == 0) return;
  const int64_t hidden = draft.model.config.hidden_size;
  const bool shares_input = block.topology == Topology::kParallelOne;
  const auto reads_input = [&](const std::string& name, int64_t rows, Role role) {
    linears.push_back({.name = name,
                       .rows = rows,
                       .cols = hidden,
                       .bias = draft.ffn_bias,
                       .site = shares_input ? kAttentionSite : kFfnSite,
                       .role = role});
  };
  switch (ffn.form) {
    case FfnForm::kGated:
      reads_input(names.gate, ffn.width, Role::kGate);
      reads_input(names.up, ffn.width, Role::kUp);
      break;
    case FfnForm::kFused:
      reads_input(names.gate_up, 2 * ffn.width, Role::kGateUp);
      break;
    case FfnForm::kPlain:
      reads_input(names.fc1, ffn.width, Role::kFc1);
      break;
  }
  linears.push_back({.name = names.down,
                     .rows = hidden,
                     .cols = ffn.width,
                     .bias = draft.ffn_bias,
                     .site = kDownSite,
                     .writes_stream = true,
                     .role = Role::kDown});
}

/// The layers of one expert.
void add_expert_linears(const Draft& draft, const MoeSpec& moe, int64_t expert,
                        std::vector<LinearSpec>& linears) {
  const ExpertNames& names = draft.experts;
  const int64_t hidden = moe.expert_size(draft.model.config.hidden_size);
  const int64_t width = moe.expert.width;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols, Role role) {
    const bool last = role == Role::kDown;
    linears.push_back({.name = fmt::format(fmt::runtime(name), expert),
                       .rows = rows,
                       .cols = cols,
                       .bias = !names.down_bias.empty(),
                       .site = last ? last_site_of(expert) : first_site_of(expert),
                       .writes_stream = last && moe.latent_size == 0,
                       .role = role,
                       .expert = expert});
    return &linears.back();
  };
  const auto in_stack = [&](LinearSpec* linear, const std::string& stack, const std::string& bias,
                            int64_t rows) {
    linear->stored = {.name = stack, .index = expert, .transposed = names.turned};
    linear->stored_bias = bias;
    linear->stored_shape = {moe.router.experts, rows, linear->cols};
    if (names.turned) std::swap(linear->stored_shape[1], linear->stored_shape[2]);
  };
  if (moe.expert.form == FfnForm::kFused) {
    in_stack(add(names.gate, 2 * width, hidden, Role::kGateUp), names.gate_up_stack,
             names.gate_up_bias, 2 * width);
  } else if (moe.expert.form == FfnForm::kPlain) {
    add(names.up, width, hidden, Role::kFc1);
  } else {
    for (const Role role : {Role::kGate, Role::kUp}) {
      LinearSpec* const linear =
          add(role == Role::kGate ? names.gate : names.up, width, hidden, role);
      if (!names.up_stack.empty()) {
        in_stack(linear, role == Role::kGate ? names.gate_up_stack : names.up_stack,
                 names.gate_up_bias, width);
        continue;
      }
      if (names.gate_up_stack.empty()) continue;
      in_stack(linear, names.gate_up_stack, names.gate_up_bias, 2 * width);
      linear->stored.first_row = role == Role::kGate ? 0 : 1;
      linear->stored.row_step = 2;
      linear->stored.rows = width;
    }
  }
  LinearSpec* const down = add(names.down, hidden, width, Role::kDown);
  if (!names.down_stack.empty()) in_stack(down, names.down_stack, names.down_bias, hidden);
}

constexpr int64_t kMostHeads = 65536;
constexpr int64_t kMostBlocks = 10'000;
constexpr int64_t kMostExperts = 4096;

void check_experts(const MoeSpec& moe, int64_t shared_width) {
  const RouterSpec& router = moe.router;
  const auto refuse = [](const std::string& what) { throw Error(ErrorKind::kInput, what); };
  if (router.experts < 1 || router.experts > kMostExperts) {
    refuse(fmt::format("the number of experts is {}; it must be from 1 to {}", router.experts,
                       kMostExperts));
  }
  if (router.chosen < 1 || router.chosen > router.experts) {
    refuse(fmt::format("num_experts_per_tok is {} of {} experts", router.chosen, router.experts));
  }
  if (moe.expert.width < 1 || shared_width < 0) {
    refuse(fmt::format("the width of an expert is {}, of the shared one {}", moe.expert.width,
                       shared_width));
  }
  if (router.groups < 1 || router.groups_chosen < 1 || router.groups_chosen > router.groups ||
      router.experts % router.groups != 0) {
    refuse(fmt::format("n_group {} and topk_group {} do not divide {} experts", router.groups,
                       router.groups_chosen, router.experts));
  }
  const int64_t of_group = router.experts / router.groups;
  if (router.groups > 1 &&
      (router.chosen > of_group * router.groups_chosen ||
       (router.group_score == RouterSpec::Groups::kSumOfTwo && of_group < 2))) {
    refuse(fmt::format("{} experts a token from {} of {} groups with {} experts each is impossible",
                       router.chosen, router.groups_chosen, router.groups, of_group));
  }
}

void check_positive(int64_t size, const char* what) {
  if (size >= 1) return;
  throw Error(ErrorKind::kInput, fmt::format("{} is {}; it must be positive", what, size));
}

void check_attention(const AttentionSpec& attention) {
  check_positive(attention.head_dim, "the size of a head");
  check_positive(attention.temperature_positions, "original_max_position_embeddings");
  if (attention.heads > kMostHeads) {
    throw Error(ErrorKind::kInput,
                fmt::format("num_attention_heads is {}; no model has more than {}", attention.heads,
                            kMostHeads));
  }
  if (attention.latent) {
    check_positive(attention.latent->key_rank, "kv_lora_rank");
    check_positive(attention.latent->plain_dims, "qk_nope_head_dim");
    check_positive(attention.latent->rotated_dims, "qk_rope_head_dim");
    check_positive(attention.latent->value_dims, "v_head_dim");
    if (attention.latent->query_rank < 0) {
      check_positive(attention.latent->query_rank, "q_lora_rank");
    }
  }
  if (attention.kv_heads < 1 || attention.heads % attention.kv_heads != 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                            attention.heads, attention.kv_heads));
  }
  if (attention.value_size() > attention.head_dim) {
    throw Error(ErrorKind::kInput, fmt::format("v_head_dim {} is more than head_dim {}",
                                               attention.value_size(), attention.head_dim));
  }
}

void check_sizes(const Draft& draft) {
  const ModelConfig& config = draft.model.config;
  const AttentionSpec& attention = draft.block.attention;
  check_positive(config.blocks, "the number of blocks");
  if (config.blocks > kMostBlocks) {
    throw Error(ErrorKind::kInput,
                fmt::format("the number of blocks is {}; no model has more than {}", config.blocks,
                            kMostBlocks));
  }
  check_positive(config.hidden_size, "the hidden size");
  check_positive(config.vocab_size, "the vocabulary");
  check_attention(attention);
  if (draft.block.moe) {
    check_experts(*draft.block.moe, draft.block.ffn.width);
  } else if (draft.has_ffn) {
    check_positive(draft.block.ffn.width, "the width of the feed-forward");
  }
  check_positive(draft.model.embedding.width, "the width of the embedding");
  const FfnSpec& ffn = draft.block.ffn;
  for (const double factor :
       {attention.scale, draft.block.residual_multiplier, draft.model.embedding.scale,
        draft.model.head.multiplier, attention.softcap, draft.model.head.softcap,
        attention.input_multiplier, attention.key_multiplier, attention.output_multiplier,
        attention.value_scale, ffn.gate_multiplier, ffn.output_multiplier}) {
    if (std::isfinite(factor)) continue;
    throw Error(ErrorKind::kInput, "a multiplier or a soft cap of the configuration is not finite");
  }
}

std::vector<LinearSpec> block_linears(const Draft& draft, const BlockSpec& block,
                                      const LinearNames& names) {
  std::vector<LinearSpec> linears;
  if (block.has_attention()) linears = attention_linears(draft, block.attention);
  add_mixer_linears(draft, block, linears);
  add_ffn_linears(draft, block, names, linears);
  for (LinearSpec& linear : linears) linear.stored.transposed = draft.transposed;
  for (int64_t expert = 0; expert < block.experts(); ++expert) {
    add_expert_linears(draft, *block.moe, expert, linears);
  }
  return linears;
}

void check_rotation(const AttentionSpec& attention, bool may_be_partial) {
  if (!attention.rope) return;
  check_rope(*attention.rope);
  if (may_be_partial || attention.rope->dims == attention.head_dim) return;
  throw Error(ErrorKind::kInput,
              fmt::format("partial_rotary_factor rotates {} of {} dimensions of a head, which is "
                          "not supported for this model_type",
                          attention.rope->dims, attention.head_dim));
}

/// The object with the rope type's keys. A non-empty `rope_scaling` takes precedence over
/// `rope_parameters`.
json rope_parameters(const json& config, const std::string& layer_type) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    json parameters = value_or(config, key, json::object());
    if (!parameters.is_object()) throw_json_error(key, "is not a JSON object");
    if (parameters.contains(layer_type)) {
      const json of_type = parameters[layer_type];
      if (of_type.is_object()) return of_type;
    }
    for (const auto& [name, value] : parameters.items()) {
      if (!value.is_object()) continue;
      throw Error(ErrorKind::kInput,
                  fmt::format("{} differ by layer type ('{}'), which is not supported", key, name));
    }
    if (!parameters.empty()) return parameters;
  }
  return json::object();
}

RopeType rope_type(const std::string& name) {
  static const std::map<std::string, RopeType> kTypes = {
      {"default", RopeType::kDefault},   {"dynamic", RopeType::kDynamic},
      {"linear", RopeType::kLinear},     {"llama3", RopeType::kLlama3},
      {"longrope", RopeType::kLongRope}, {"proportional", RopeType::kProportional},
      {"yarn", RopeType::kYarn}};
  const auto found = kTypes.find(name);
  if (found != kTypes.end()) return found->second;
  std::string known;
  for (const auto& [known_name, type] : kTypes) known += " " + known_name;
  throw Error(ErrorKind::kInput,
              fmt::format("rope type '{}' is not supported; known ones:{}", name, known));
}

void read_rope_type(const json& parameters, RopeSpec& rope) {
  const double by_length = static_cast<double>(rope.max_positions) /
                           static_cast<double>(std::max<int64_t>(1, rope.original_max_positions));
  switch (rope.type) {
    case RopeType::kDefault:
      return;
    case RopeType::kLlama3:
      rope.low_freq_factor = require<double>(parameters, "low_freq_factor");
      rope.high_freq_factor = require<double>(parameters, "high_freq_factor");
      [[fallthrough]];
    case RopeType::kLinear:
    case RopeType::kDynamic:
      rope.factor = require<double>(parameters, "factor");
      return;
    case RopeType::kYarn:
      rope.factor = value_or(parameters, "factor", by_length);
      rope.beta_fast = value_or(parameters, "beta_fast", 32.0);
      rope.beta_slow = value_or(parameters, "beta_slow", 1.0);
      rope.truncate = value_or(parameters, "truncate", true);
      rope.mscale = value_or(parameters, "mscale", 0.0);
      rope.mscale_all_dim = value_or(parameters, "mscale_all_dim", 0.0);
      break;
    case RopeType::kLongRope:
      rope.factor = value_or(parameters, "factor", by_length);
      rope.short_factor = require<std::vector<double>>(parameters, "short_factor");
      rope.long_factor = require<std::vector<double>>(parameters, "long_factor");
      break;
    case RopeType::kProportional:
      rope.factor = value_or(parameters, "factor", 1.0);
      return;
  }
  rope.attention_factor = optional<double>(parameters, "attention_factor");
}

Tensor relu(const Tensor& x) { return at::relu(x); }
Tensor relu2(const Tensor& x) { return at::relu(x).square(); }
Tensor gelu(const Tensor& x) { return at::gelu(x); }
Tensor gelu_tanh(const Tensor& x) { return at::gelu(x, "tanh"); }
Tensor silu(const Tensor& x) { return at::silu(x); }

}  // namespace

json with_defaults(json defaults, const json& config) {
  for (const auto& [key, value] : config.items()) defaults[key] = value;
  return defaults;
}

Draft standard_decoder(const json& config, const std::vector<std::string>& own_keys) {
  Draft draft;
  const auto heads = require<int64_t>(config, "num_attention_heads");
  const auto hidden = require<int64_t>(config, "hidden_size");
  if (heads < 1) throw_json_error("num_attention_heads", "must be positive");
  const std::optional<int64_t> head_dim = optional<int64_t>(config, "head_dim");
  if (!head_dim && hidden % heads != 0) {
    throw Error(
        ErrorKind::kInput,
        fmt::format("hidden_size {} is not a multiple of num_attention_heads {}", hidden, heads));
  }
  draft.model.config = {.model_type = value_or<std::string>(config, "model_type", ""),
                        .blocks = require<int64_t>(config, "num_hidden_layers"),
                        .hidden_size = hidden,
                        .vocab_size = require<int64_t>(config, "vocab_size"),
                        .max_positions = value_or<int64_t>(config, "max_position_embeddings", 2048),
                        .tied = value_or(config, "tie_word_embeddings", false)};
  draft.block.norm.eps = value_or(config, "rms_norm_eps", 1e-6);
  AttentionSpec& attention = draft.block.attention;
  attention.heads = heads;
  attention.kv_heads = optional<int64_t>(config, "num_key_value_heads").value_or(heads);
  attention.head_dim = head_dim.value_or(hidden / heads);
  attention.scale = 1.0 / std::sqrt(static_cast<double>(attention.head_dim));
  draft.block.ffn.width = require<int64_t>(config, "intermediate_size");
  draft.block.ffn.activation = find_activation(value_or<std::string>(config, "hidden_act", "silu"));
  for (const std::string& key : kForeignKeys) {
    if (std::ranges::find(own_keys, key) == own_keys.end()) reject_key(config, key);
  }
  if (std::ranges::find(own_keys, "rope_parameters") == own_keys.end()) {
    attention.rope = read_rope(config, attention.head_dim);
  }
  set_names(draft,
            {.base = "model.", .blocks = "layers", .tokens = "embed_tokens", .final_norm = "norm"});
  return draft;
}

void set_selected_keys(Draft& draft, int64_t keys, const std::string& key,
                       std::vector<std::string> tensors) {
  if (keys < 1) throw_json_error(key.c_str(), fmt::format("is {}; it must be positive", keys));
  draft.model.unread = std::move(tensors);
  ModelConfig& config = draft.model.config;
  if (config.max_positions <= keys) return;
  config.max_positions = keys;
  config.selects_beyond = key;
}

void set_norms_after_branches(Draft& draft) {
  draft.block.topology = Topology::kPostBranch;
  draft.block.names = {.before_attention = "",
                       .before_ffn = "",
                       .after_attention = "post_attention_layernorm",
                       .after_ffn = "post_feedforward_layernorm"};
}

void set_names(Draft& draft, const EndNames& names) {
  DecoderSpec& model = draft.model;
  model.names = {.base_prefix = names.base,
                 .head = names.head + ".weight",
                 .embedding = names.base + names.tokens + ".weight",
                 .tied = model.config.tied};
  model.block_pattern = names.base + names.blocks + ".{}.";
  model.embedding.tokens = model.names.embedding;
  model.head.norm_name = names.base + names.final_norm;
  model.head.weight = model.config.tied ? model.names.embedding : model.names.head;
}

std::vector<bool> sliding_layers(const json& config, int64_t blocks,
                                 const std::function<bool(int64_t)>& by_default) {
  return layers_of_type(config, blocks, {"sliding_attention"}, {"full_attention"}, by_default);
}

std::vector<bool> layers_of_type(const json& config, int64_t blocks,
                                 const std::vector<std::string>& special,
                                 const std::vector<std::string>& plain,
                                 const std::function<bool(int64_t)>& by_default) {
  std::vector<bool> found;
  const auto types = value_or<std::vector<std::string>>(config, "layer_types", {});
  if (!types.empty() && std::ssize(types) != blocks) {
    throw_json_error("layer_types",
                     fmt::format("has {} entries for {} layers", types.size(), blocks));
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const std::string type = types.empty() ? (by_default(block) ? special : plain).front()
                                           : types[static_cast<size_t>(block)];
    const bool is_special = std::ranges::find(special, type) != special.end();
    if (!is_special && std::ranges::find(plain, type) == plain.end()) {
      throw_json_error("layer_types",
                       fmt::format("calls layer {} '{}', which is not supported", block, type));
    }
    found.push_back(is_special);
  }
  return found;
}

void set_mixer(Draft& draft, const json& config, const MixerSpec& mixer,
               const std::vector<std::string>& types,
               const std::function<bool(int64_t)>& by_default) {
  const std::vector<bool> mixes = layers_of_type(config, draft.model.config.blocks, types,
                                                 {"full_attention", "attention"}, by_default);
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    if (!mixes[static_cast<size_t>(block)]) return;
    spec.mixer = mixer;
    spec.attention = {};
  };
}

int64_t require_positive(const json& config, const char* key, int64_t most) {
  const auto size = require<int64_t>(config, key);
  if (size < 1) throw_json_error(key, fmt::format("is {}; it must be positive", size));
  if (size > most) {
    throw_json_error(key, fmt::format("is {}; no model has more than {}", size, most));
  }
  return size;
}

void set_windows(Draft& draft, const json& config, int64_t window, int64_t pattern,
                 const std::optional<RopeSpec>& sliding_rope,
                 const std::optional<RopeSpec>& full_rope) {
  if (pattern < 1) throw_json_error("sliding_window_pattern", "must be positive");
  const std::vector<bool> sliding = sliding_layers(
      config, draft.model.config.blocks, [=](int64_t block) { return (block + 1) % pattern != 0; });
  draft.adjust = [=](int64_t block, BlockSpec& spec) {
    const bool slides = window > 0 && sliding[static_cast<size_t>(block)];
    spec.attention.window = slides ? window : 0;
    spec.attention.rope = slides ? sliding_rope : full_rope;
  };
}

int64_t of_layer(const json& config, int64_t block, const char* key, int64_t otherwise) {
  const json layers = value_or(config, "per_layer_config", json::object());
  json layer = value_or(layers, std::to_string(block).c_str(), json::object());
  if (value_or(layer, key, json()).is_null()) return otherwise;
  try {
    return require_positive(layer, key);
  } catch (Error& error) {
    throw error.in(fmt::format("per_layer_config of layer {}", block));
  }
}

int64_t window_of(const json& config) {
  const std::optional<int64_t> window = optional<int64_t>(config, "sliding_window");
  if (window && *window < 1) throw_json_error("sliding_window", "must be positive");
  return window.value_or(0);
}

RopeSpec read_rope(const json& config, int64_t head_dim, const std::string& layer_type) {
  const json parameters = rope_parameters(config, layer_type);
  const auto max_positions = value_or<int64_t>(config, "max_position_embeddings", 2048);
  const double rotated =
      value_or(parameters, "partial_rotary_factor", value_or(config, "partial_rotary_factor", 1.0));
  if (!(rotated > 0.0 && rotated <= 1.0)) {
    throw Error(ErrorKind::kInput,
                fmt::format("partial_rotary_factor {} is not above 0 and at most 1", rotated));
  }
  RopeSpec rope{
      .type = rope_type(value_or<std::string>(
          parameters, "rope_type", value_or<std::string>(parameters, "type", "default"))),
      .theta = value_or(parameters, "rope_theta", value_or(config, "rope_theta", 10000.0)),
      .dims = static_cast<int64_t>(static_cast<double>(head_dim) * rotated),
      .max_positions = max_positions,
      .original_max_positions =
          value_or(config, "original_max_position_embeddings",
                   value_or(parameters, "original_max_position_embeddings", max_positions))};
  if (rope.type == RopeType::kProportional) {
    rope.proportion = rotated;
    rope.dims = head_dim;
  }
  read_rope_type(parameters, rope);
  return rope;
}

Activation find_activation(const std::string& name) {
  static const std::map<std::string, Activation> kActivations = {
      {"relu", relu},          {"relu2", relu2},         {"gelu", gelu},
      {"gelu_new", gelu_tanh}, {"gelu_fast", gelu_tanh}, {"gelu_pytorch_tanh", gelu_tanh},
      {"silu", silu},          {"swish", silu}};
  const auto found = kActivations.find(name);
  if (found != kActivations.end()) return found->second;
  std::string known;
  for (const auto& [known_name, function] : kActivations) known += " " + known_name;
  throw Error(ErrorKind::kInput,
              fmt::format("activation function '{}' is not supported; known ones:{}", name, known));
}

DecoderSpec finished(Draft draft) {
  DecoderSpec& model = draft.model;
  if (model.embedding.width == 0) model.embedding.width = model.config.hidden_size;
  check_sizes(draft);
  if (model.head.width == 0) model.head.width = model.config.hidden_size;
  if (draft.final_norm) model.head.norm = draft.block.norm;
  std::vector<BlockSpec> kinds;  // without their layers
  for (int64_t number = 0; number < model.config.blocks; ++number) {
    BlockSpec block = draft.block;
    if (draft.adjust) draft.adjust(number, block);
    const bool is_dense = block.moe && draft.is_dense && draft.is_dense(number);
    if (is_dense) {
      block.moe.reset();
      block.ffn.width = draft.dense_width;
    }
    const auto same = std::ranges::find(kinds, block);
    model.kind_of_block.push_back(static_cast<size_t>(same - kinds.begin()));
    if (same == kinds.end()) {
      kinds.push_back(block);
      if (block.has_attention()) check_attention(block.attention);
      check_rotation(block.attention, draft.partial_rope);
      block.linears = block_linears(draft, block, is_dense ? draft.dense : draft.linears);
      model.kinds.push_back(std::move(block));
    }
  }
  return std::move(draft.model);
}

}  // namespace prune::models
