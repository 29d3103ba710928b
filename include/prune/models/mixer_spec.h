#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

// Mixers of tokens that keep a state instead of keys and values: src/models/README.md, "Mixers with a state".
namespace prune::models {

/// A gated delta net (Yang et al. 2024, arXiv 2412.06464).
struct DeltaNetSpec {
  std::string prefix;  ///< of its tensors, within the block
  int64_t key_heads = 0;
  int64_t value_heads = 0;
  int64_t key_dim = 0;    ///< of a head
  int64_t value_dim = 0;  ///< of a head
  int64_t kernel = 0;     ///< tokens that the convolution sees
  bool by_key_head =
      false;          ///< one layer makes queries, keys, values and gates, key head by key head
  double eps = 1e-6;  ///< of the norm
  bool operator==(const DeltaNetSpec&) const = default;
  int64_t key_rows() const { return key_heads * key_dim; }
  int64_t value_rows() const { return value_heads * value_dim; }
  int64_t channels() const { return 2 * key_rows() + value_rows(); }
};

/// Kimi's delta attention (arXiv 2510.26692): a delta net in which every element of a key decays by itself.
struct KimiDeltaSpec {
  std::string prefix;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t kernel = 0;
  double eps = 1e-5;  ///< of the norm
  bool operator==(const KimiDeltaSpec&) const = default;
  int64_t width() const { return heads * head_dim; }
};

/// A convolution over a few tokens between two gates (LFM2).
struct ShortConvSpec {
  std::string prefix;
  int64_t kernel = 0;
  bool bias = false;
  bool operator==(const ShortConvSpec&) const = default;
};

/// Mamba-2 (Dao & Gu 2024, arXiv 2405.21060).
struct Mamba2Spec {
  /// What happens to the output y and the gate z.
  enum class Gate {
    kBeforeNorm,  ///< norm(y silu(z))
    kAlone,       ///< y silu(z)
    kAfterNorm,   ///< norm(y) silu(z)
  };
  std::string prefix;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t groups = 0;  ///< of neighbouring heads, which share B and C
  int64_t state = 0;   ///< numbers kept for each number of a head
  int64_t kernel = 0;
  bool conv_bias = true;
  bool bias = false;  ///< of its first and last layer
  double least_step = 0.0;
  double largest_step = std::numeric_limits<double>::infinity();
  Gate gate = Gate::kBeforeNorm;
  bool beside_attention =
      false;  ///< both read the block's input and are added to the stream (Falcon-H1)
  double input_multiplier = 1.0;
  double output_multiplier = 1.0;
  std::vector<double> multipliers = {};  ///< of z, x, B, C and the steps; empty: all are 1
  int64_t norm_groups = 1;               ///< parts of the width that are normed each by itself
  double eps = 1e-5;
  bool operator==(const Mamba2Spec&) const = default;
  int64_t width() const { return heads * head_dim; }
  int64_t channels() const { return width() + 2 * groups * state; }
};

/// Tokens are not mixed: the block is a feed-forward.
struct NoMixerSpec {
  bool operator==(const NoMixerSpec&) const = default;
};

/// std::monostate: the block has attention.
using MixerSpec = std::variant<std::monostate, DeltaNetSpec, KimiDeltaSpec, ShortConvSpec,
                               Mamba2Spec, NoMixerSpec>;

}  // namespace prune::models
