#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/kernels/product.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "activation.h"
#include "attention.h"
#include "families.h"
#include "linear_block.h"
#include "norm.h"
#include "rope.h"

// LLaMA (Touvron et al. 2023, arXiv 2302.13971) and models of the same structure, as in
// transformers/models/{llama,mistral,qwen2,qwen3}: src/models/README.md, "LLaMA".

namespace prune::models {
namespace {

enum class Bias { kNever, kAlways, kByKey };  // kByKey: config.json's attention_bias or mlp_bias
enum class Window { kNever, kEveryBlock, kSomeBlocks };

/// The differences between the model_types.
struct LlamaVariant {
  std::string model_type;
  Bias query_bias;  // of query, key and value
  Bias out_bias;
  Bias mlp_bias;
  bool head_norms;  // RMSNorm of each head's query and key, before they are rotated
  Window window;
  // Values of the keys of these names if they are absent; nullopt: heads and hidden_size / heads.
  std::optional<int64_t> num_key_value_heads;
  std::optional<int64_t> head_dim;
  int64_t max_position_embeddings;
};

const LlamaVariant& find_variant(const std::string& model_type) {
  using enum Bias;
  static const std::vector<LlamaVariant> kVariants = {
      // model_type, biases of q/k/v, o, mlp, head norms, window, defaults
      {"llama", kByKey, kByKey, kByKey, false, Window::kNever, {}, {}, 2048},
      {"mistral", kNever, kNever, kNever, false, Window::kEveryBlock, 8, {}, 131072},
      {"qwen2", kAlways, kNever, kNever, false, Window::kSomeBlocks, 32, {}, 32768},
      {"qwen3", kByKey, kByKey, kNever, true, Window::kSomeBlocks, 32, 128, 32768}};
  for (const LlamaVariant& variant : kVariants) {
    if (variant.model_type == model_type) return variant;
  }
  throw Error(ErrorKind::kInternal,
              "model_type '" + model_type + "' has no row in the table of LLaMA's variants");
}

struct LlamaOptions {
  int64_t heads;
  int64_t key_heads;
  int64_t head_dim;
  int64_t ffn_dim;
  bool query_bias;
  bool out_bias;
  bool mlp_bias;
  bool head_norms;
  double norm_eps;
  Activation activation;
  Rope rope;
};

/// An optional number for which an absent key and null mean different values.
int64_t number(const json& raw, const char* key, int64_t absent, int64_t null) {
  return value_or(raw, key, raw.contains(key) ? null : absent);
}

LlamaOptions llama_options(const ModelConfig& config) {
  const json& raw = config.raw;
  const LlamaVariant& variant = find_variant(config.model_type);
  const auto bias = [&](Bias when, const char* key) {
    return when == Bias::kByKey ? value_or(raw, key, false) : when == Bias::kAlways;
  };
  const auto heads = require<int64_t>(raw, "num_attention_heads");
  if (heads < 1) throw_json_error("num_attention_heads", "must be positive");
  const int64_t share = config.hidden_size / heads;
  const int64_t head_dim = number(raw, "head_dim", variant.head_dim.value_or(share), share);
  return {.heads = heads,
          .key_heads = number(raw, "num_key_value_heads",
                              variant.num_key_value_heads.value_or(heads), heads),
          .head_dim = head_dim,
          .ffn_dim = require<int64_t>(raw, "intermediate_size"),
          .query_bias = bias(variant.query_bias, "attention_bias"),
          .out_bias = bias(variant.out_bias, "attention_bias"),
          .mlp_bias = bias(variant.mlp_bias, "mlp_bias"),
          .head_norms = variant.head_norms,
          .norm_eps = value_or(raw, "rms_norm_eps", 1e-6),
          .activation = find_activation(value_or<std::string>(raw, "hidden_act", "silu")),
          .rope = read_rope(raw, head_dim, config.max_positions)};
}

/// Number of tokens that a token of this block sees, itself included; 0: all before it.
int64_t window_of(const ModelConfig& config, int64_t block) {
  const json& raw = config.raw;
  const Window kind = find_variant(config.model_type).window;
  const bool windowed = kind == Window::kEveryBlock ||
                        (kind == Window::kSomeBlocks && value_or(raw, "use_sliding_window", false));
  if (windowed && value_or<int64_t>(raw, "sliding_window", 1) < 1) {
    throw_json_error("sliding_window", "must be positive");
  }
  // null turns the window off.
  const int64_t window = windowed ? number(raw, "sliding_window", 4096, 0) : 0;
  const int64_t first_block =
      kind == Window::kSomeBlocks ? value_or<int64_t>(raw, "max_window_layers", 28) : 0;
  const int64_t by_keys = block >= first_block ? window : 0;

  const auto types = value_or<std::vector<std::string>>(raw, "layer_types", {});
  if (types.empty()) return by_keys;
  if (static_cast<int64_t>(types.size()) != config.blocks) {
    throw_json_error("layer_types",
                     fmt::format("has {} entries for {} layers", types.size(), config.blocks));
  }
  const std::string& type = types[static_cast<size_t>(block)];
  if (type == "full_attention" && (by_keys == 0 || kind == Window::kSomeBlocks)) return 0;
  if (type == "sliding_attention" && window > 0) return window;
  throw_json_error(
      "layer_types",
      fmt::format("calls layer {} '{}', which is not supported for model_type '{}' with "
                  "these window keys",
                  block, type, config.model_type));
}

/// Some checkpoints use our model_types with keys of other architectures, which we would ignore.
void reject_foreign_keys(const json& raw) {
  for (const char* key :
       {"num_experts", "num_local_experts", "n_routed_experts", "attn_logit_softcapping",
        "final_logit_softcapping", "use_mrope", "no_rope_layers"}) {
    const json value = value_or(raw, key, json());
    if (value.is_null() || value == json(false) || value == json(0) || value.empty()) continue;
    throw_json_error(key, fmt::format("is set to {}, which is not supported", value.dump()));
  }
}

ModelConfig read_llama_config(const json& raw) {
  const auto model_type = require<std::string>(raw, "model_type");
  const LlamaVariant& variant = find_variant(model_type);
  ModelConfig config{
      .model_type = model_type,
      .blocks = require<int64_t>(raw, "num_hidden_layers"),
      .hidden_size = require<int64_t>(raw, "hidden_size"),
      .vocab_size = require<int64_t>(raw, "vocab_size"),
      .max_positions = value_or(raw, "max_position_embeddings", variant.max_position_embeddings),
      .tied = value_or(raw, "tie_word_embeddings", false),
      .raw = raw};
  reject_foreign_keys(raw);
  const LlamaOptions options = llama_options(config);
  if (!raw.contains("head_dim") && config.hidden_size % options.heads != 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                            config.hidden_size, options.heads));
  }
  if (options.key_heads < 1 || options.heads % options.key_heads != 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                            options.heads, options.key_heads));
  }
  return config;
}

checkpoint::NameRule llama_names(const ModelConfig& config) {
  return {.base_prefix = "model.",
          .head = "lm_head.weight",
          .embedding = "model.embed_tokens.weight",
          .tied = config.tied};
}

enum LlamaLinear : size_t { kQuery, kKey, kValue, kOut, kGate, kUp, kDown };

std::vector<LinearSpec> llama_linears(const ModelConfig& config) {
  const LlamaOptions options = llama_options(config);
  const int64_t hidden = config.hidden_size;
  const int64_t query = options.heads * options.head_dim;
  const int64_t key = options.key_heads * options.head_dim;
  const int64_t ffn = options.ffn_dim;
  return {{"self_attn.q_proj", query, hidden, options.query_bias, kAttentionSite, false},
          {"self_attn.k_proj", key, hidden, options.query_bias, kAttentionSite, false},
          {"self_attn.v_proj", key, hidden, options.query_bias, kAttentionSite, false},
          {"self_attn.o_proj", hidden, query, options.out_bias, kOutSite, true},
          {"mlp.gate_proj", ffn, hidden, options.mlp_bias, kFfnSite, false},
          {"mlp.up_proj", ffn, hidden, options.mlp_bias, kFfnSite, false},
          {"mlp.down_proj", hidden, ffn, options.mlp_bias, kDownSite, true}};
}

class LlamaBlock : public LinearBlock {
 public:
  LlamaBlock(const ModelConfig& config, const WeightLoader& loader, int64_t block,
             const std::string& prefix)
      : LinearBlock(llama_linears(config), loader, prefix),
        options_(llama_options(config)),
        window_(window_of(config, block)) {
    const auto norm = [&](const char* name, int64_t size) {
      return load_rms_norm(loader, prefix + name, size, options_.norm_eps);
    };
    attention_norm_ = norm("input_layernorm", config.hidden_size);
    ffn_norm_ = norm("post_attention_layernorm", config.hidden_size);
    if (options_.head_norms) {
      query_norm_ = norm("self_attn.q_norm", options_.head_dim);
      key_norm_ = norm("self_attn.k_norm", options_.head_dim);
    }
  }

  SiteActivations enter(const Tensor& hidden) const override {
    return {hidden, attention_norm_(hidden)};
  }

  SiteActivations pass(int64_t site, SiteActivations at, BlockObserver* observer) const override {
    switch (site) {
      case kAttentionSite:
        return {at.stream, context(at.x, observer)};
      case kOutSite: {
        const Tensor h = at.stream + linear(kOut, at.x, observer);
        return {h, ffn_norm_(h)};
      }
      case kFfnSite: {
        const Tensor gate = options_.activation(linear(kGate, at.x, observer));
        return {at.stream, gate * linear(kUp, at.x, observer)};
      }
      default:
        return {at.stream + linear(kDown, at.x, observer), {}};
    }
  }

 private:
  Tensor context(const Tensor& x, BlockObserver* observer) const {
    Tensor query = split_heads(linear(kQuery, x, observer), options_.heads);
    Tensor key = split_heads(linear(kKey, x, observer), options_.key_heads);
    const Tensor value = split_heads(linear(kValue, x, observer), options_.key_heads);
    if (query_norm_) query = (*query_norm_)(query);
    if (key_norm_) key = (*key_norm_)(key);
    const Rotation rotate = rotation_of(options_.rope, x.size(1), x.options());
    const double scale = 1.0 / std::sqrt(static_cast<double>(options_.head_dim));
    return merge_heads(causal_attention(rotate(query), rotate(key), value, scale, window_));
  }

  LlamaOptions options_;
  int64_t window_;
  RmsNorm attention_norm_;
  RmsNorm ffn_norm_;
  std::optional<RmsNorm> query_norm_;
  std::optional<RmsNorm> key_norm_;
};

constexpr const char* kTokens = "model.embed_tokens.weight";

class LlamaEmbedding : public Embedding {
 public:
  LlamaEmbedding(const ModelConfig& config, const WeightLoader& loader)
      : loader_(loader),
        tokens_(loader.load_table(kTokens, {config.vocab_size, config.hidden_size})) {}

  Tensor embed(const Tensor& ids) const override { return loader_.looked_up(tokens_, ids); }

 private:
  WeightLoader loader_;
  Tensor tokens_;
};

class LlamaHead : public Head {
 public:
  LlamaHead(const ModelConfig& config, const WeightLoader& loader)
      : norm_(load_rms_norm(loader, "model.norm", config.hidden_size,
                            llama_options(config).norm_eps)),
        weight_(loader.load(config.tied ? kTokens : "lm_head.weight",
                            {config.vocab_size, config.hidden_size})) {}

  Tensor logits(const Tensor& hidden) const override {
    return kernels::affine(norm_(hidden), weight_);
  }

 private:
  RmsNorm norm_;
  Tensor weight_;
};

FamilySpec family_of(const std::string& model_type) {
  return {.model_type = model_type,
          .read_config = &read_llama_config,
          .names = &llama_names,
          .linears = &llama_linears,
          .block_prefix = "model.layers.{}.",
          .make_block = &make_block<LlamaBlock>,
          .make_embedding = &make_end<Embedding, LlamaEmbedding>,
          .make_head = &make_end<Head, LlamaHead>};
}

}  // namespace

FamilySpec llama_family() { return family_of("llama"); }
FamilySpec mistral_family() { return family_of("mistral"); }
FamilySpec qwen2_family() { return family_of("qwen2"); }
FamilySpec qwen3_family() { return family_of("qwen3"); }

}  // namespace prune::models
