#include "attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

namespace prune::models {

Tensor split_heads(const Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

Tensor merge_heads(const Tensor& x) { return x.transpose(1, 2).flatten(2); }

Tensor causal_attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale,
                        int64_t window) {
  // Repeating keys costs little beside the query. torch's enable_gqa is not supported by all fused
  // kernels (not with a mask, not in float32 on CUDA); it would then fall back to the kernel that
  // stores all scores.
  const int64_t queries_per_key = query.size(1) / key.size(1);
  const auto for_all_heads = [&](const Tensor& x) {
    return queries_per_key == 1 ? x : x.repeat_interleave(queries_per_key, /*dim=*/1);
  };
  std::optional<Tensor> mask;
  const int64_t seqlen = query.size(2);
  if (window > 0 && window < seqlen) {
    mask = at::ones({seqlen, seqlen}, query.options().dtype(at::kBool)).tril().triu(1 - window);
  }
  return at::scaled_dot_product_attention(query, for_all_heads(key), for_all_heads(value), mask,
                                          /*dropout_p=*/0.0, /*is_causal=*/!mask.has_value(),
                                          scale);
}

}  // namespace prune::models
