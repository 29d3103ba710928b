#pragma once

#include <prune/core/tensor.h>

namespace prune::models {

/// [samples, seqlen, heads * head_dim] as [samples, heads, seqlen, head_dim], and back.
Tensor split_heads(const Tensor& x, int64_t heads);
Tensor merge_heads(const Tensor& x);

/// softmax(scale · q kᵀ) v, where a token sees itself and the tokens before it.
/// @param query  [samples, heads, seqlen, head_dim]
/// @param key, value  [samples, kv_heads, seqlen, head_dim]; kv_heads divides heads, and a key serves
///                    heads / kv_heads neighbouring queries.
/// @param window  a token sees only this many tokens, itself included; 0: all.
/// @return [samples, heads, seqlen, head_dim]
Tensor causal_attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale,
                        int64_t window = 0);

/// Multiplications and additions of causal_attention for one sample; `width` is heads * head_dim. A token
/// meets half of the others, and the fused kernels skip the rest.
inline double causal_attention_flops(double seqlen, double width) {
  return 2 * seqlen * seqlen * width;
}

}  // namespace prune::models
