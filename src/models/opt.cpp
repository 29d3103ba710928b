#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/kernels/product.h>

#include <cmath>

#include "activation.h"
#include "attention.h"
#include "families.h"
#include "linear_block.h"
#include "norm.h"

// OPT (Zhang et al. 2022, arXiv 2205.01068) as in transformers/models/opt:
// src/models/README.md, "OPT".

namespace prune::models {
namespace {

constexpr double kLayerNormEps = 1e-5;
constexpr int64_t kPositionOffset = 2;  // position t uses row t + 2 of the table

struct OptOptions {
  int64_t ffn_dim;
  int64_t heads;
  int64_t projection_dim;  // width of the token embedding; 350m: half of hidden_size
  bool pre_norm;           // do_layer_norm_before; false for 350m
  bool final_norm;
  bool bias;
  bool affine_norm;
  Activation activation;
};

OptOptions opt_options(const ModelConfig& config) {
  const json& raw = config.raw;
  const bool pre_norm = value_or(raw, "do_layer_norm_before", true);
  return {.ffn_dim = value_or<int64_t>(raw, "ffn_dim", 3072),
          .heads = value_or<int64_t>(raw, "num_attention_heads", 12),
          .projection_dim = value_or<int64_t>(raw, "word_embed_proj_dim", config.hidden_size),
          .pre_norm = pre_norm,
          .final_norm = pre_norm && !value_or(raw, "_remove_final_layer_norm", false),
          .bias = value_or(raw, "enable_bias", true),
          .affine_norm = value_or(raw, "layer_norm_elementwise_affine", true),
          .activation = find_activation(value_or<std::string>(raw, "activation_function", "relu"))};
}

ModelConfig read_opt_config(const json& raw) {
  ModelConfig config{.model_type = "opt",
                     .blocks = value_or<int64_t>(raw, "num_hidden_layers", 12),
                     .hidden_size = value_or<int64_t>(raw, "hidden_size", 768),
                     .vocab_size = value_or<int64_t>(raw, "vocab_size", 50272),
                     .max_positions = value_or<int64_t>(raw, "max_position_embeddings", 2048),
                     .tied = value_or(raw, "tie_word_embeddings", true),
                     .raw = raw};
  const OptOptions options = opt_options(config);
  if (options.heads < 1 || config.hidden_size % options.heads != 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                            config.hidden_size, options.heads));
  }
  return config;
}

checkpoint::NameRule opt_names(const ModelConfig& config) {
  return {.base_prefix = "model.",
          .head = "lm_head.weight",
          .embedding = "model.decoder.embed_tokens.weight",
          .tied = config.tied};
}

enum OptLinear : size_t { kQuery, kKey, kValue, kOut, kFc1, kFc2 };

std::vector<LinearSpec> opt_linears(const ModelConfig& config) {
  const OptOptions options = opt_options(config);
  const int64_t hidden = config.hidden_size;
  const int64_t ffn = options.ffn_dim;
  return {{"self_attn.q_proj", hidden, hidden, options.bias, kAttentionSite, false},
          {"self_attn.k_proj", hidden, hidden, options.bias, kAttentionSite, false},
          {"self_attn.v_proj", hidden, hidden, options.bias, kAttentionSite, false},
          {"self_attn.out_proj", hidden, hidden, options.bias, kOutSite, true},
          {"fc1", ffn, hidden, options.bias, kFfnSite, false},
          {"fc2", hidden, ffn, options.bias, kDownSite, true}};
}

LayerNorm load_norm(const WeightLoader& loader, const std::string& name,
                    const ModelConfig& config) {
  if (!opt_options(config).affine_norm) return {.weight = {}, .bias = {}, .eps = kLayerNormEps};
  return load_layer_norm(loader, name, config.hidden_size, kLayerNormEps);
}

class OptBlock : public LinearBlock {
 public:
  OptBlock(const ModelConfig& config, const WeightLoader& loader, int64_t /*block*/,
           const std::string& prefix)
      : LinearBlock(opt_linears(config), loader, prefix),
        options_(opt_options(config)),
        attention_norm_(load_norm(loader, prefix + "self_attn_layer_norm", config)),
        ffn_norm_(load_norm(loader, prefix + "final_layer_norm", config)) {}

  SiteActivations enter(const Tensor& hidden) const override {
    return {hidden, options_.pre_norm ? attention_norm_(hidden) : hidden};
  }

  SiteActivations pass(int64_t site, SiteActivations at, BlockObserver* observer) const override {
    switch (site) {
      case kAttentionSite:
        return {at.stream, context(at.x, observer)};
      case kOutSite: {
        Tensor h = at.stream + linear(kOut, at.x, observer);
        if (!options_.pre_norm) h = attention_norm_(h);
        return {h, options_.pre_norm ? ffn_norm_(h) : h};
      }
      case kFfnSite:
        return {at.stream, options_.activation(linear(kFc1, at.x, observer))};
      default: {
        const Tensor h = at.stream + linear(kFc2, at.x, observer);
        return {options_.pre_norm ? h : ffn_norm_(h), {}};
      }
    }
  }

 private:
  Tensor context(const Tensor& x, BlockObserver* observer) const {
    const auto head_dim = static_cast<double>(x.size(2) / options_.heads);
    // The query is scaled with its bias and rounded to the model's dtype, before attention.
    const Tensor query = linear(kQuery, x, observer).mul(1.0 / std::sqrt(head_dim));
    const Tensor key = linear(kKey, x, observer);
    const Tensor value = linear(kValue, x, observer);
    const auto heads = [&](const Tensor& y) { return split_heads(y, options_.heads); };
    return merge_heads(causal_attention(heads(query), heads(key), heads(value), /*scale=*/1.0));
  }

  OptOptions options_;
  LayerNorm attention_norm_;
  LayerNorm ffn_norm_;
};

class OptEmbedding : public Embedding {
 public:
  OptEmbedding(const ModelConfig& config, const WeightLoader& loader) : loader_(loader) {
    const int64_t projection = opt_options(config).projection_dim;
    tokens_ =
        loader.load_table("model.decoder.embed_tokens.weight", {config.vocab_size, projection});
    positions_ = loader.load("model.decoder.embed_positions.weight",
                             {config.max_positions + kPositionOffset, config.hidden_size});
    if (projection != config.hidden_size) {
      project_in_ =
          loader.load("model.decoder.project_in.weight", {config.hidden_size, projection});
    }
  }

  Tensor embed(const Tensor& ids) const override {
    Tensor x = loader_.looked_up(tokens_, ids);
    if (project_in_.defined()) x = kernels::affine(x, project_in_);
    return x + positions_.slice(0, kPositionOffset, kPositionOffset + ids.size(1));
  }

 private:
  WeightLoader loader_;
  Tensor tokens_;
  Tensor positions_;
  Tensor project_in_;
};

class OptHead : public Head {
 public:
  OptHead(const ModelConfig& config, const WeightLoader& loader) {
    const OptOptions options = opt_options(config);
    const int64_t projection = options.projection_dim;
    if (options.final_norm) norm_ = load_norm(loader, "model.decoder.final_layer_norm", config);
    if (projection != config.hidden_size) {
      project_out_ =
          loader.load("model.decoder.project_out.weight", {projection, config.hidden_size});
    }
    weight_ = loader.load(config.tied ? "model.decoder.embed_tokens.weight" : "lm_head.weight",
                          {config.vocab_size, projection});
  }

  Tensor logits(const Tensor& hidden) const override {
    Tensor h = norm_ ? (*norm_)(hidden) : hidden;
    if (project_out_.defined()) h = kernels::affine(h, project_out_);
    return kernels::affine(h, weight_);
  }

 private:
  std::optional<LayerNorm> norm_;
  Tensor project_out_;
  Tensor weight_;
};

}  // namespace

FamilySpec opt_family() {
  return {.model_type = "opt",
          .read_config = &read_opt_config,
          .names = &opt_names,
          .linears = &opt_linears,
          .block_prefix = "model.decoder.layers.{}.",
          .make_block = &make_block<OptBlock>,
          .make_embedding = &make_end<Embedding, OptEmbedding>,
          .make_head = &make_end<Head, OptHead>};
}

}  // namespace prune::models
