#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/kernels/product.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention.h"
#include "families.h"
#include "linear_block.h"
#include "norm.h"

// BLOOM (Le Scao et al. 2022, arXiv 2211.05100) as in transformers/models/bloom:
// src/models/README.md, "BLOOM".

namespace prune::models {
namespace {

struct BloomOptions {
  int64_t heads;
  double norm_eps;
  bool normed_residual;  // apply_residual_connection_post_layernorm
};

/// A required number with two spellings. @throws Error(input) if both are given and differ
int64_t either(const json& raw, const char* key, const char* other) {
  const auto value = require<int64_t>(raw, raw.contains(key) ? key : other);
  const auto second = value_or(raw, other, value);
  if (value == second) return value;
  throw Error(ErrorKind::kInput, fmt::format("{} {} contradicts {} {}", key, value, other, second));
}

BloomOptions bloom_options(const json& raw) {
  return {.heads = either(raw, "n_head", "num_attention_heads"),
          .norm_eps = value_or(raw, "layer_norm_epsilon", 1e-5),
          .normed_residual = value_or(raw, "apply_residual_connection_post_layernorm", false)};
}

ModelConfig read_bloom_config(const json& raw) {
  ModelConfig config{
      .model_type = "bloom",
      .blocks = either(raw, "n_layer", "num_hidden_layers"),
      .hidden_size = require<int64_t>(raw, raw.contains("n_embed") ? "n_embed" : "hidden_size"),
      .vocab_size = require<int64_t>(raw, "vocab_size"),
      .max_positions = 0,
      .tied = value_or(raw, "tie_word_embeddings", true),
      .raw = raw};
  const int64_t heads = bloom_options(raw).heads;
  if (heads < 1 || config.hidden_size % heads != 0) {
    throw Error(ErrorKind::kInput, fmt::format("hidden size {} is not a multiple of {} heads",
                                               config.hidden_size, heads));
  }
  return config;
}

checkpoint::NameRule bloom_names(const ModelConfig& config) {
  return {.base_prefix = "transformer.",
          .head = "lm_head.weight",
          .embedding = "transformer.word_embeddings.weight",
          .tied = config.tied};
}

enum BloomLinear : size_t { kQueryKeyValue, kDense, kDenseTo4h, kDenseFrom4h };

std::vector<LinearSpec> bloom_linears(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size;
  return {{"self_attention.query_key_value", 3 * hidden, hidden, true, kAttentionSite, false},
          {"self_attention.dense", hidden, hidden, true, kOutSite, true},
          {"mlp.dense_h_to_4h", 4 * hidden, hidden, true, kFfnSite, false},
          {"mlp.dense_4h_to_h", hidden, 4 * hidden, true, kDownSite, true}};
}

// Scores that attention holds at once: 64 MiB of float32, whatever the model.
constexpr int64_t kScoresAtOnce = int64_t{1} << 24;

/// Slopes of the linear biases, [heads] float32: a geometric series for the largest power of two up
/// to `heads`, then every second member of the series for twice that power. Source: Press et al.
/// 2022 (arXiv 2108.12409).
Tensor alibi_slopes(int64_t heads) {
  const auto series = [](int64_t of_heads, int64_t count, int64_t step) {
    const double base = std::exp2(-std::exp2(3.0 - std::log2(static_cast<double>(of_heads))));
    return at::pow(at::full({}, base, at::kFloat), at::arange(1, 1 + step * count, step, at::kInt));
  };
  int64_t power = 1;
  while (2 * power <= heads) power *= 2;
  return at::cat({series(power, power, 1), series(2 * power, heads - power, 2)});
}

/// softmax(q kᵀ / sqrt(head_dim) + slope · position of the key) v, causal. Scores are rounded to
/// the model's dtype with the bias added, as in training. No fused kernel does that, so they are
/// computed for a few heads at a time.
/// @param query, key, value [samples, heads, seqlen, head_dim]
/// @return the same shape
Tensor alibi_attention(const Tensor& query, const Tensor& key, const Tensor& value) {
  const int64_t heads = query.size(1);
  const int64_t seqlen = query.size(2);
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.size(3)));
  const at::TensorOptions float32 = query.options().dtype(at::kFloat);
  const Tensor alibi =
      at::outer(alibi_slopes(heads).to(query.device()), at::arange(seqlen, float32))
          .unsqueeze(1)
          .to(query.scalar_type());
  const Tensor future = at::ones({seqlen, seqlen}, query.options().dtype(at::kBool)).triu(1);

  Tensor context = at::empty_like(query);
  const int64_t group = std::max<int64_t>(1, kScoresAtOnce / (seqlen * seqlen));
  for (int64_t sample = 0; sample < query.size(0); ++sample) {
    for (int64_t first = 0; first < heads; first += group) {
      const int64_t end = std::min(first + group, heads);
      const auto part = [&](const Tensor& x) { return x[sample].slice(0, first, end); };
      const Tensor scores =
          at::baddbmm(alibi.slice(0, first, end), part(query), part(key).transpose(1, 2),
                      /*beta=*/1.0, /*alpha=*/scale)
              .masked_fill_(future, -std::numeric_limits<double>::infinity());
      const Tensor shares = at::softmax(scores, -1, at::kFloat).to(query.scalar_type());
      part(context).copy_(at::bmm(shares, part(value)));
    }
  }
  return context;
}

/// The tanh form of GELU, each operation rounded to the dtype as in Transformers.
Tensor bloom_gelu(const Tensor& x) {
  const Tensor polynomial = x.mul(0.044715).mul_(x).add_(1.0);
  return x.mul(0.5).mul_(x.mul(0.79788456).mul_(polynomial).tanh_().add_(1.0));
}

class BloomBlock : public LinearBlock {
 public:
  BloomBlock(const ModelConfig& config, const WeightLoader& loader, int64_t /*block*/,
             const std::string& prefix)
      : LinearBlock(bloom_linears(config), loader, prefix), options_(bloom_options(config.raw)) {
    const auto norm = [&](const char* name) {
      return load_layer_norm(loader, prefix + name, config.hidden_size, options_.norm_eps);
    };
    attention_norm_ = norm("input_layernorm");
    ffn_norm_ = norm("post_attention_layernorm");
  }

  SiteActivations enter(const Tensor& hidden) const override {
    const Tensor x = attention_norm_(hidden);
    return {options_.normed_residual ? x : hidden, x};
  }

  SiteActivations pass(int64_t site, SiteActivations at, BlockObserver* observer) const override {
    switch (site) {
      case kAttentionSite:
        return {at.stream, context(at.x, observer)};
      case kOutSite: {
        const Tensor h = linear(kDense, at.x, observer) + at.stream;
        const Tensor y = ffn_norm_(h);
        return {options_.normed_residual ? y : h, y};
      }
      case kFfnSite:
        return {at.stream, bloom_gelu(linear(kDenseTo4h, at.x, observer))};
      default:
        return {linear(kDenseFrom4h, at.x, observer) + at.stream, {}};
    }
  }

 private:
  Tensor context(const Tensor& x, BlockObserver* observer) const {
    // Rows of the fused layer are grouped by head, then by query, key, value.
    const int64_t head_dim = x.size(2) / options_.heads;
    const Tensor fused = linear(kQueryKeyValue, x, observer)
                             .view({x.size(0), x.size(1), options_.heads, 3, head_dim})
                             .permute({3, 0, 2, 1, 4});
    return merge_heads(alibi_attention(fused[0], fused[1], fused[2]));
  }

  BloomOptions options_;
  LayerNorm attention_norm_;
  LayerNorm ffn_norm_;
};

constexpr const char* kTokens = "transformer.word_embeddings.weight";

class BloomEmbedding : public Embedding {
 public:
  BloomEmbedding(const ModelConfig& config, const WeightLoader& loader)
      : loader_(loader),
        tokens_(loader.load_table(kTokens, {config.vocab_size, config.hidden_size})),
        norm_(load_layer_norm(loader, "transformer.word_embeddings_layernorm", config.hidden_size,
                              bloom_options(config.raw).norm_eps)) {}

  Tensor embed(const Tensor& ids) const override { return norm_(loader_.looked_up(tokens_, ids)); }

 private:
  WeightLoader loader_;
  Tensor tokens_;
  LayerNorm norm_;
};

class BloomHead : public Head {
 public:
  BloomHead(const ModelConfig& config, const WeightLoader& loader)
      : norm_(load_layer_norm(loader, "transformer.ln_f", config.hidden_size,
                              bloom_options(config.raw).norm_eps)),
        weight_(loader.load(config.tied ? kTokens : "lm_head.weight",
                            {config.vocab_size, config.hidden_size})) {}

  Tensor logits(const Tensor& hidden) const override {
    return kernels::affine(norm_(hidden), weight_);
  }

 private:
  LayerNorm norm_;
  Tensor weight_;
};

}  // namespace

FamilySpec bloom_family() {
  return {.model_type = "bloom",
          .read_config = &read_bloom_config,
          .names = &bloom_names,
          .linears = &bloom_linears,
          .block_prefix = "transformer.h.{}.",
          .make_block = &make_block<BloomBlock>,
          .make_embedding = &make_end<Embedding, BloomEmbedding>,
          .make_head = &make_end<Head, BloomHead>};
}

}  // namespace prune::models
