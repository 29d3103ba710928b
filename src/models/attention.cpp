#include "attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "softcap.h"

namespace prune::models {
namespace {

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

/// slope · position of the key, [heads, 1, seqlen] in the dtype of the query; Falcon rounds it to bfloat16 first.
Tensor alibi_biases(const Tensor& query, int64_t seqlen, Alibi kind) {
  const Tensor slopes = alibi_slopes(query.size(1)).to(query.device());
  const auto dtype = kind == Alibi::kScaled ? at::kBFloat16 : at::kFloat;
  const Tensor positions = at::arange(seqlen, query.options().dtype(dtype));
  return at::outer(slopes.to(dtype), positions).unsqueeze(1).to(query.scalar_type());
}

/// True where one of the last tokens does not see another, [tokens, seqlen].
Tensor hidden_tokens(const Tensor& query, int64_t seqlen, int64_t window) {
  const int64_t before = seqlen - query.size(2);
  const Tensor all = at::ones({query.size(2), seqlen}, query.options().dtype(at::kBool));
  const Tensor future = all.triu(before + 1);
  return window > 0 && window < seqlen ? future.logical_or(all.tril(before - window)) : future;
}

/// Attention whose scores no fused kernel computes: they are rounded to the model's dtype, as in training, for a few
/// heads at a time.
Tensor scored_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                        const AttentionSpec& attention, const Tensor& sinks) {
  const int64_t heads = query.size(1);
  const int64_t seqlen = key.size(2);
  const bool has_bias = attention.alibi != Alibi::kNone;
  const Tensor biases = has_bias ? alibi_biases(query, seqlen, attention.alibi) : Tensor();
  const Tensor hidden = hidden_tokens(query, seqlen, attention.window);
  const auto scores_of = [&](const Tensor& q, const Tensor& k, const Tensor& bias) {
    if (attention.alibi == Alibi::kAdded) {
      return at::baddbmm(bias, q, k, /*beta=*/1.0, /*alpha=*/attention.scale);
    }
    if (has_bias) return (at::bmm(q, k) + bias).mul_(attention.scale);
    Tensor scores = at::bmm(q, k).mul_(attention.scale);
    return attention.softcap == 0.0 ? scores : capped_(scores, attention.softcap);
  };
  Tensor context = at::empty_like(query);
  const int64_t group = std::max<int64_t>(1, kScoresAtOnce / (query.size(2) * seqlen));
  for (int64_t sample = 0; sample < query.size(0); ++sample) {
    for (int64_t first = 0; first < heads; first += group) {
      const int64_t end = std::min(first + group, heads);
      const auto part = [&](const Tensor& x) { return x[sample].slice(0, first, end); };
      Tensor scores = scores_of(part(query), part(key).transpose(1, 2),
                                has_bias ? biases.slice(0, first, end) : Tensor())
                          .masked_fill_(hidden, -std::numeric_limits<double>::infinity());
      if (sinks.defined()) {
        const Tensor sink = sinks.slice(0, first, end).view({-1, 1, 1});
        scores = at::cat({scores, sink.expand({-1, scores.size(1), 1})}, -1);
      }
      const Tensor shares =
          at::softmax(scores, -1, at::kFloat).to(query.scalar_type()).slice(-1, 0, seqlen);
      part(context).copy_(at::bmm(shares, part(value)));
    }
  }
  return context;
}

/// Attention of one token, which sees all keys within its window: the queries that share a key are the rows of one
/// product, so that no key is copied.
Tensor last_token_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                            const AttentionSpec& attention, double scale) {
  const int64_t seqlen = key.size(2);
  const int64_t seen = attention.window > 0 ? std::min(attention.window, seqlen) : seqlen;
  const auto last = [&](const Tensor& x) { return x.narrow(2, seqlen - seen, seen); };
  const Tensor by_key = query.reshape({query.size(0), key.size(1), -1, query.size(3)});
  const Tensor context =
      at::scaled_dot_product_attention(by_key, last(key), last(value), /*attn_mask=*/{},
                                       /*dropout_p=*/0.0, /*is_causal=*/false, scale);
  return context.reshape({query.size(0), query.size(1), 1, value.size(3)});
}

}  // namespace

Tensor split_heads(const Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

Tensor merge_heads(const Tensor& x) { return x.transpose(1, 2).flatten(2); }

Tensor causal_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                        const AttentionSpec& attention, const Tensor& sinks) {
  // Fused kernels want values as wide as keys.
  if (const int64_t missing = query.size(-1) - value.size(-1); missing > 0) {
    return causal_attention(query, key, at::constant_pad_nd(value, {0, missing}), attention, sinks)
        .slice(-1, 0, value.size(-1));
  }
  const bool has_scores =
      attention.alibi != Alibi::kNone || attention.softcap != 0.0 || attention.sinks;
  const double scale = attention.scales_query ? 1.0 : attention.scale;
  const int64_t tokens = query.size(2);
  const int64_t seqlen = key.size(2);
  if (tokens == 1 && !has_scores) return last_token_attention(query, key, value, attention, scale);
  // Repeating keys costs little beside several queries. torch's enable_gqa is not supported by all fused
  // kernels (not with a mask, not in float32 on CUDA); it would then fall back to the kernel that
  // stores all scores.
  const int64_t queries_per_key = query.size(1) / key.size(1);
  const auto for_all_heads = [&](const Tensor& x) {
    return queries_per_key == 1 ? x : x.repeat_interleave(queries_per_key, /*dim=*/1);
  };
  const Tensor keys = for_all_heads(key);
  const Tensor values = for_all_heads(value);
  if (has_scores) return scored_attention(query, keys, values, attention, sinks);
  std::optional<Tensor> mask;
  const bool has_window = attention.window > 0 && attention.window < seqlen;
  if (has_window || tokens < seqlen) {
    mask = hidden_tokens(query, seqlen, attention.window).logical_not();
  }
  return at::scaled_dot_product_attention(query, keys, values, mask,
                                          /*dropout_p=*/0.0,
                                          /*is_causal=*/!mask, scale);
}

}  // namespace prune::models
