#pragma once

#include <prune/core/tensor.h>

namespace prune::models {

/// Views [samples, seqlen, heads * head_dim] as [samples, heads, seqlen, head_dim]; merge_heads()
/// inverts it.
Tensor split_heads(const Tensor& x, int64_t heads);
Tensor merge_heads(const Tensor& x);

/// softmax(scale · q kᵀ) v, causal: a token sees itself and the tokens before it.
/// @param query  [samples, heads, seqlen, head_dim]
/// @param key, value  [samples, kv_heads, seqlen, head_dim]; kv_heads divides heads, and each key
///                    head serves heads / kv_heads neighbouring query heads.
/// @param window  a token sees only this many tokens, itself included; 0: all.
/// @return [samples, heads, seqlen, head_dim]
Tensor causal_attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale,
                        int64_t window = 0);

}  // namespace prune::models
