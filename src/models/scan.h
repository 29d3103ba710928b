#pragma once

#include <prune/core/tensor.h>

namespace prune::models {

/// Each channel's weighted sum of its own last values.
/// @param x       [samples, tokens, channels]
/// @param weight  [channels, 1, kernel]
/// @param bias    [channels] or undefined
/// @param before  the kernel - 1 tokens before x, or undefined for zeros; replaced by those before the next x
Tensor causal_convolution(const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Tensor& before);

/// A linear recurrence over tokens, several of them at a time:
///
///     S_t = e^{g_t} S_{t-1} + k_t u_tᵀ,   o_t = S_tᵀ q_t,
///
/// where u_t = v_t (Mamba-2: arXiv 2405.21060, section 6), or with `beta` the delta rule
/// u_t = β_t (v_t - (e^{g_t} S_{t-1})ᵀ k_t) (arXiv 2412.06464, equation 10 and section 3.3).
/// @param query, key  [samples, heads, tokens, key_dim] float32
/// @param value       [samples, heads, tokens, value_dim] float32
/// @param decay       g <= 0, [samples, heads, tokens], or [samples, heads, tokens, key_dim] if every row of S decays by
///                    itself (arXiv 2510.26692)
/// @param beta        [samples, heads, tokens] or undefined
/// @param state       S before the first token, [samples, heads, key_dim, value_dim], or undefined for zeros; replaced by
///                    S after the last
/// @return o, as `value`
Tensor gated_scan(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& decay,
                  const Tensor& beta, Tensor& state);

}  // namespace prune::models
