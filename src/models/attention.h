#pragma once

#include <prune/core/tensor.h>
#include <prune/models/decoder_spec.h>

namespace prune::models {

/// Views [samples, seqlen, heads * head_dim] as [samples, heads, seqlen, head_dim]; merge_heads()
/// inverts it.
Tensor split_heads(const Tensor& x, int64_t heads);
Tensor merge_heads(const Tensor& x);

/// softmax(scores) v, causal: a token sees itself and the tokens before it, or those within the window. Scores are
/// q kᵀ with the scale, soft cap and linear biases of the spec.
/// @param query  [samples, heads, tokens, head_dim], of the last tokens
/// @param key, value  [samples, kv_heads, seqlen, head_dim], of all tokens; kv_heads divides heads, and each key
///                    head serves heads / kv_heads neighbouring query heads.
/// @param sinks  [heads], if the spec has them
/// @return [samples, heads, tokens, head_dim]
Tensor causal_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                        const AttentionSpec& attention, const Tensor& sinks = {});

}  // namespace prune::models
