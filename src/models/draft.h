#pragma once

#include <prune/core/json_file.h>
#include <prune/models/decoder_spec.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace prune::models {

/// Names of a block's linear layers, within the block.
struct LinearNames {
  std::string query = "self_attn.q_proj";
  std::string key = "self_attn.k_proj";
  std::string value = "self_attn.v_proj";
  std::string qkv = "self_attn.qkv_proj";
  std::string query_latent = "self_attn.q_a_proj";
  std::string query_of_latent = "self_attn.q_b_proj";
  std::string key_latent = "self_attn.kv_a_proj_with_mqa";
  std::string key_value = "self_attn.kv_b_proj";
  std::string out = "self_attn.o_proj";
  std::string output_gate = "self_attn.gate_proj";
  std::string mixer_in = {};
  std::string mixer_gate = {};
  std::string mixer_out = {};
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string gate_up = "mlp.gate_up_proj";
  std::string fc1 = "mlp.fc1";
  std::string down = "mlp.down_proj";
};

/// Names of the layers of expert {}, within the block, and how they are stored.
struct ExpertNames {
  std::string gate = "mlp.experts.{}.gate_proj";
  std::string up = "mlp.experts.{}.up_proj";
  std::string down = "mlp.experts.{}.down_proj";
  /// Stacks over the experts; empty: each layer has tensors of its own. [experts, 2 * width, hidden_size] and
  /// [experts, hidden_size, width], or each turned.
  std::string gate_up_stack = {};
  std::string up_stack = {};  ///< up alone; then the other has gate alone
  std::string down_stack = {};
  bool turned =
      false;  ///< the stacks' matrices are stored as [cols, rows], and gate and up row by row in turn
  std::string gate_up_bias = {};  ///< [experts, 2 * width]; empty: none
  std::string down_bias = {};     ///< [experts, hidden_size]
};

/// A decoder while its family fills it in. A family takes standard_decoder() and changes what is different.
struct Draft {
  DecoderSpec model;  ///< without kinds of blocks
  BlockSpec block;    ///< what the blocks have in common
  LinearNames linears;
  ExpertNames experts = {};
  LinearNames dense = {};  ///< of the blocks without experts, in a model that has some
  bool qkv_bias = false;
  bool out_bias = false;
  bool ffn_bias = false;
  bool transposed = false;    ///< all weights are stored as [cols, rows]
  bool final_norm = true;     ///< after the last block, as the blocks' norms
  bool partial_rope = false;  ///< the family can rotate a part of each head
  bool has_ffn = true;        ///< false: the family's blocks are mixers alone
  /// Changes the attention of one block, or gives it a mixer instead.
  std::function<void(int64_t block, BlockSpec& spec)> adjust = {};
  /// In a model with experts: the blocks that have a feed-forward of this width instead.
  std::function<bool(int64_t block)> is_dense = {};
  int64_t dense_width = 0;
};

/// The keys of config.json over a family's defaults. A key that is null counts as null, not as absent.
json with_defaults(json defaults, const json& config);

/// Attention selects so many keys: it is full attention up to there, and nothing reads the tensors that select.
/// @param key  of config.json that names the number
/// @param tensors  beginnings of their names, within a block
void set_selected_keys(Draft& draft, int64_t keys, const std::string& key,
                       std::vector<std::string> tensors);

/// LLaMA's structure, names and keys: norms before attention and feed-forward, RMSNorm with `rms_norm_eps`, separate
/// queries, keys and values, RoPE, a gated feed-forward.
/// @param config  with the family's defaults
/// @param own_keys  keys of other architectures that this family has, too
/// @throws Error(input) naming a key that is missing, impossible or of another architecture.
Draft standard_decoder(const json& config, const std::vector<std::string>& own_keys = {});

/// Names of the blocks' prefix and of the ends.
struct EndNames {
  std::string base;  ///< prepended to the names that follow; files may lack it
  std::string blocks;
  std::string tokens;
  std::string final_norm;
  std::string head = "lm_head";
};
void set_names(Draft& draft, const EndNames& names);

/// Own keys of a family with experts.
std::vector<std::string> with_experts(std::vector<std::string> own_keys = {});

/// A router by softmax. @param weight its name. @param chosen_key key of the number of experts of a token
RouterSpec read_router(const json& config, const std::string& weight,
                       const char* chosen_key = "num_experts_per_tok");

/// DeepSeek-V3's router: by sigmoid, with a correction and groups of experts.
RouterSpec read_sigmoid_router(const json& config, const std::string& weight = "mlp.gate.weight",
                               const std::string& correction = "mlp.gate.e_score_correction_bias");

/// Turns the feed-forward into experts of this width, with its activation.
/// @param shared_width of the expert that all tokens pass; 0: there is none
void set_experts(Draft& draft, RouterSpec router, int64_t width, int64_t shared_width = 0,
                 const std::string& shared_name = "mlp.shared_expert");

/// Experts of width `moe_intermediate_size`, with so many of them joined in one that all tokens pass.
void set_shared_experts(Draft& draft, const json& config, RouterSpec router, int64_t shared,
                        const std::string& shared_name = "mlp.shared_experts");

/// Experts in the blocks that Qwen's keys name.
void set_qwen_experts(Draft& draft, const json& config, int64_t shared_width);

/// Granite's experts, stacked, gate and up in one layer.
void set_granite_experts(Draft& draft, const json& config, int64_t shared_width = 0);

/// The blocks before this one have no experts.
void set_dense_before(Draft& draft, int64_t first_with_experts);

/// The blocks that `mlp_layer_types` calls dense have no experts; without that key the first ones.
/// @throws Error(input) if it has too few entries.
void set_dense_blocks(Draft& draft, const json& config, int64_t first_with_experts);

/// The temperature of `llama_4_scaling_beta`.
void set_temperature(Draft& draft, const json& config);

/// The multipliers of Granite's keys.
void set_granite_multipliers(Draft& draft, const json& config);

/// Norms only after attention and feed-forward, under the names of OLMo 2.
void set_norms_after_branches(Draft& draft);

/// Which blocks slide: "sliding_attention" of `layer_types`.
/// @param by_default  of a block's number, without `layer_types`
/// @throws Error(input) for another type or number of entries.
std::vector<bool> sliding_layers(const json& config, int64_t blocks,
                                 const std::function<bool(int64_t)>& by_default);

/// The same for other types: which blocks have one of `special`, where the others must have one of `plain`.
std::vector<bool> layers_of_type(const json& config, int64_t blocks,
                                 const std::vector<std::string>& special,
                                 const std::vector<std::string>& plain,
                                 const std::function<bool(int64_t)>& by_default);

/// The blocks with one of these layer types get the mixer instead of attention.
void set_mixer(Draft& draft, const json& config, const MixerSpec& mixer,
               const std::vector<std::string>& types,
               const std::function<bool(int64_t)>& by_default);

/// A size that must be there and positive. @throws Error(input) naming the key
int64_t require_positive(const json& config, const char* key, int64_t most = int64_t{1} << 24);
/// Tokens that a convolution sees.
constexpr int64_t kLargestKernel = 256;

/// A size of one block: what `per_layer_config` says, or what the other keys say.
/// @throws Error(input) if it is not positive.
int64_t of_layer(const json& config, int64_t block, const char* key, int64_t otherwise);

/// `sliding_window`; 0 if it is null or absent. @throws Error(input) if it is not positive.
int64_t window_of(const json& config);

/// Gives a window and a rotation of their own to the blocks that slide: those of `layer_types`, else all but every
/// `pattern`-th.
/// @param window  0: none slides
/// @throws Error(input) as sliding_layers(), or if the pattern is not positive.
void set_windows(Draft& draft, const json& config, int64_t window, int64_t pattern,
                 const std::optional<RopeSpec>& sliding_rope,
                 const std::optional<RopeSpec>& full_rope);

/// RoPE from `rope_scaling`, `rope_parameters` (of a layer type, if they differ), `rope_theta` and
/// `partial_rotary_factor`.
/// @param layer_type  whose parameters to take where they differ; empty: they must not
/// @throws Error(input) naming a type or key that is not supported.
RopeSpec read_rope(const json& config, int64_t head_dim, const std::string& layer_type = "");

/// @throws Error(input) for an unknown name
Activation find_activation(const std::string& name);

/// Lists linears and kinds of blocks. @throws Error(input) for sizes that do not fit together.
DecoderSpec finished(Draft draft);

}  // namespace prune::models
