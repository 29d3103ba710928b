#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/checkpoint/tensor_ref.h>
#include <prune/models/block.h>
#include <prune/models/mixer_spec.h>
#include <prune/models/model_config.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// A decoder as data: src/models/README.md, "One decoder".
namespace prune::models {

/// What a linear layer does in its block.
enum class Role {
  kQuery,
  kKey,
  kValue,
  kQkv,
  kQueryLatent,  ///< from the input to the latent of the queries
  kKeyLatent,    ///< to that of keys and values, and the rotated part of the keys
  kKeyValue,     ///< from that latent to keys and values
  kOutputGate,   ///< makes gates of attention's output
  kMixerIn,      ///< first layer of a mixer with a state
  kMixerGate,    ///< makes the gates of its output, where the first layer does not
  kMixerOut,     ///< last layer of a mixer beside attention
  kOut,
  kGate,
  kUp,
  kGateUp,
  kFc1,
  kDown,
  kRoles,
};

/// A linear layer as config.json determines it; no weight is read.
struct LinearSpec {
  std::string name;  ///< within the block, e.g. "self_attn.q_proj"
  int64_t rows = 0;
  int64_t cols = 0;
  bool bias = false;
  int64_t site = 0;            ///< the site it reads; sites are numbered within the block
  bool writes_stream = false;  ///< its output is added to the residual stream
  Role role = Role::kQuery;
  int64_t expert = -1;  ///< the expert that it belongs to
  /// Where the weight is stored, named within the block; without a name it is NAME.weight.
  checkpoint::TensorRef stored = {};
  std::vector<int64_t> stored_shape = {};  ///< of a stack of weights
  std::string stored_bias = {};            ///< a stack of biases; empty: NAME.bias
  /// The layer as a block holds it, but for its weight and bias.
  Linear without_weight(const std::string& prefix) const;
  /// `stored` with its full name.
  checkpoint::TensorRef weight_in(const std::string& prefix) const;
  bool operator==(const LinearSpec&) const = default;
};

enum class NormKind {
  kLayer,         ///< mean 0 and variance 1, times weight, plus bias
  kLayerPlusOne,  ///< a layer norm whose weight is stored less 1
  kRms,           ///< mean square 1, rounded, times weight
  kRmsFloat,      ///< mean square 1, times weight in float32, rounded
  kRmsPlusOne,    ///< the same with 1 + weight
};

struct NormSpec {
  NormKind kind = NormKind::kRms;
  double eps = 1e-6;
  bool weight = true;
  bool bias = true;  ///< of a layer norm
  bool operator==(const NormSpec&) const = default;
};

enum class RopeType { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongRope, kProportional };

/// Rotary position embeddings (Su et al. 2021, arXiv 2104.09864), with the scalings that stretch them over longer
/// sequences: src/models/README.md, "RoPE".
struct RopeSpec {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  int64_t dims = 0;          ///< of a head, counted from its first element, that are rotated
  bool interleaved = false;  ///< pairs are neighbours; else element i is rotated with i + dims / 2
  bool in_float = false;     ///< computes in float32 whatever the model's dtype
  double proportion = 1.0;   ///< proportional: of the pairs, from the first, that are rotated
  int64_t max_positions = 0;
  int64_t original_max_positions = 0;  ///< before stretching
  double factor = 1.0;
  double low_freq_factor = 1.0;            ///< llama3
  double high_freq_factor = 4.0;           ///< llama3
  double beta_fast = 32.0;                 ///< yarn
  double beta_slow = 1.0;                  ///< yarn
  bool truncate = true;                    ///< yarn
  std::optional<double> attention_factor;  ///< of cos and sin, where config.json names it
  double mscale = 0.0;                     ///< yarn
  double mscale_all_dim = 0.0;             ///< yarn
  std::vector<double> short_factor;        ///< longrope, [dims / 2]
  std::vector<double> long_factor;         ///< longrope, beyond the original positions
  bool operator==(const RopeSpec&) const = default;
};

/// How the rows of queries, keys and values are stored.
enum class QkvForm {
  kSeparate,
  kKeyIsValue,  ///< one layer makes keys and values, which are the same before their norms
  kConcat,      ///< one layer: all queries, all keys, all values
  kGrouped,     ///< one layer: for each key head its queries, its key, its value
};

enum class QkNorm {
  kNone,
  kHead,      ///< over head_dim, one weight for all heads
  kOwn,       ///< over head_dim, weights [heads, head_dim]
  kOwnParts,  ///< the same in one tensor a head
  kFull,      ///< over all heads at once
};

/// Linear biases of positions (Press et al. 2022, arXiv 2108.12409).
enum class Alibi {
  kNone,
  kAdded,   ///< to the scaled scores (BLOOM)
  kScaled,  ///< to the scores, scaled with them (Falcon)
};

/// Multi-head latent attention (DeepSeek-AI 2024, arXiv 2405.04434). Only the last part of a head is rotated, and that
/// part of the keys is the same for all heads.
struct LatentSpec {
  int64_t query_rank =
      0;  ///< of the latent that queries are made of; 0: they are made of the input
  int64_t key_rank = 0;
  int64_t plain_dims = 0;  ///< of a head's query and key, before the rotated ones
  int64_t rotated_dims = 0;
  int64_t value_dims = 0;
  NormSpec norm = {};  ///< of the latents
  bool operator==(const LatentSpec&) const = default;
};

/// What the output of attention is multiplied by: the sigmoid of ...
enum class OutputGate {
  kNone,
  kInQuery,  ///< a part of what the layer of the queries makes: for each head its query, its gate (Qwen3-Next)
  kLayer,  ///< what a layer makes, element by element (Trinity)
  kHeads,  ///< the same, head by head, by a small matrix that is not pruned (Step-3.5)
};

/// Keys and values that several blocks read. The stream carries them behind its hidden columns (Gemma 4).
enum class KeyReuse {
  kNone,
  kStores,  ///< for later blocks
  kReads,   ///< those of an earlier block; the block has no layers for them
};

struct AttentionSpec {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  QkvForm form = QkvForm::kSeparate;
  std::optional<LatentSpec> latent = {};  ///< instead of `form`
  double scale = 1.0;                     ///< of the scores
  bool scales_query = false;              ///< rounds the scaled query first (OPT)
  OutputGate output_gate = OutputGate::kNone;
  int64_t value_dim = 0;         ///< of a head; 0: head_dim
  double value_scale = 1.0;      ///< of the values (MiMo)
  bool norm_after_rope = false;  ///< of queries and keys (Hunyuan)
  bool value_norm = false;       ///< of the values' heads, without a weight (Gemma 4)
  KeyReuse key_reuse = KeyReuse::kNone;
  int64_t carried_at = 0;          ///< first column of those keys and values in the stream
  double input_multiplier = 1.0;   ///< of what its first layers read (Falcon-H1)
  double key_multiplier = 1.0;     ///< of the keys
  double output_multiplier = 1.0;  ///< of what its last layer gives
  double softcap = 0.0;            ///< c: scores become c tanh(score / c); 0: none
  double clip = 0.0;               ///< of queries, keys and values; 0: none
  int64_t window = 0;  ///< a token sees only so many tokens, itself included; 0: all before it
  QkNorm qk_norm = QkNorm::kNone;
  NormSpec qk_norm_spec = {};
  Alibi alibi = Alibi::kNone;
  bool sinks =
      false;  ///< each head has a further score that takes a share and gives nothing (gpt-oss)
  std::optional<RopeSpec> rope = {};  ///< none: no rotation
  /// Llama 4's temperature: the query of position t is multiplied by 1 + beta ln(1 + floor((t + first) / positions)).
  double temperature_beta = 0.0;
  int64_t temperature_positions = 1;
  int64_t temperature_first = 0;

  bool operator==(const AttentionSpec&) const = default;
  int64_t query_rows() const { return heads * head_dim; }
  int64_t key_rows() const { return kv_heads * head_dim; }
  int64_t value_size() const { return value_dim > 0 ? value_dim : head_dim; }
  int64_t queries_per_key() const { return heads / kv_heads; }
};

enum class FfnForm {
  kGated,  ///< down(act(gate x) * up x)
  kFused,  ///< the same, gate and up are one layer: [gate; up]
  kPlain,  ///< down(act(fc1 x))
};

using Activation = Tensor (*)(const Tensor&);

struct FfnSpec {
  FfnForm form = FfnForm::kGated;
  int64_t width = 0;  ///< 0: there is none (no shared expert, or a block that is a mixer alone)
  Activation activation = nullptr;
  double limit = 0.0;  ///< c: gate becomes min(gate, c), up is clamped to ±c; 0: none (gpt-oss)
  bool limits_activation = false;  ///< act(gate) becomes min(act(gate), c) instead (Step-3.5)
  double up_offset = 0.0;          ///< added to up (gpt-oss)
  double gate_multiplier = 1.0;    ///< of the gate, before its activation (Falcon-H1)
  double output_multiplier = 1.0;  ///< of what the last layer gives
  bool operator==(const FfnSpec&) const = default;
};

/// How a router scores the experts and chooses among them: src/models/README.md, "Experts".
struct RouterSpec {
  enum class Score {
    kSoftmax,  ///< over all experts
    kSigmoid,
    kChosenSoftmax,  ///< logits; the gates are the softmax over those that are chosen
  };
  enum class Groups {
    kMax,       ///< a group is as good as its best expert
    kSumOfTwo,  ///< as the sum of its two best
  };
  std::string weight = {};  ///< name of the matrix [experts, hidden_size], within the block
  std::string bias = {};    ///< of the logits; empty: none
  std::string correction =
      {};  ///< [experts], added to the scores for the choice alone; empty: none
  bool correction_is_row = false;  ///< it is stored as [1, experts]
  bool in_float = false;           ///< computes logits in float32 whatever the model's dtype
  Score score = Score::kSoftmax;
  int64_t experts = 0;
  int64_t chosen = 0;         ///< experts of a token
  int64_t groups = 1;         ///< of neighbouring experts
  int64_t groups_chosen = 1;  ///< the experts of a token are of so many groups
  Groups group_score = Groups::kMax;
  bool normalised = false;   ///< gates are divided by their sum
  double sum_offset = 0.0;   ///< added to that sum
  double sum_least = 0.0;    ///< the least that it counts
  double scale = 1.0;        ///< of the gates
  bool gates_input = false;  ///< gates multiply what an expert reads, not what it gives (Llama 4)
  /// Weight [hidden_size] of a norm of the stream, divided by the root of hidden_size: what the router reads instead of
  /// the experts' input (Gemma 4). Empty: none.
  std::string input_scale = {};
  double input_eps = 0.0;         ///< of that norm
  std::string expert_scale = {};  ///< [experts], of the gates; empty: none
  bool operator==(const RouterSpec&) const = default;
};

/// Experts of which each token passes a few. BlockSpec::ffn is the one that all tokens pass, if it has a width.
struct MoeSpec {
  RouterSpec router = {};
  FfnSpec expert = {};
  std::string shared_gate =
      {};  ///< matrix [1, hidden_size] whose sigmoid scales the shared one; empty: none
  /// Experts read and write a latent of so many columns (Nemotron 3 Super); 0: hidden states. The matrices to and from
  /// the latent are never pruned.
  int64_t latent_size = 0;
  std::string to_latent = {};    ///< name of a layer
  std::string from_latent = {};  ///< name of a layer
  bool latent_bias = false;
  // Norms of their own (Gemma 4), within the block; empty: none.
  std::string norm_before = {};  ///< of what experts read
  std::string norm_after = {};   ///< of the sum of what they give
  std::string norm_shared = {};  ///< of what the shared one gives
  bool operator==(const MoeSpec&) const = default;
  /// What an expert reads and writes has so many columns.
  int64_t expert_size(int64_t hidden_size) const {
    return latent_size > 0 ? latent_size : hidden_size;
  }
};

/// How attention (or a mixer) A and feed-forward F are connected. n1, n2: norms before them, p1, p2: norms after them.
enum class Topology {
  kPre,          ///< x += A(n1 x); x += F(n2 x)
  kPostSum,      ///< x = n1(x + A(x)); x = n2(x + F(x))
  kPostBranch,   ///< x += p1 A(x); x += p2 F(x)
  kSandwich,     ///< x += p1 A(n1 x); x += p2 F(n2 x)
  kParallelOne,  ///< x += A(n1 x) + F(n1 x)
  kParallelTwo,  ///< x += A(n1 x) + F(n2 x)
};

/// Names of a block's norms, within the block.
struct NormNames {
  std::string before_attention = "input_layernorm";
  std::string before_ffn = "post_attention_layernorm";
  std::string after_attention = {};
  std::string after_ffn = {};
  std::string query = "self_attn.q_norm";
  std::string key = "self_attn.k_norm";
  std::string query_latent = "self_attn.q_a_layernorm";
  std::string key_latent = "self_attn.kv_a_layernorm";
  // No norms, but tensors of attention as they are.
  std::string sinks = "self_attn.sinks";
  std::string head_gates = "self_attn.g_proj.weight";  ///< [heads, hidden_size]
  bool operator==(const NormNames&) const = default;
};

/// What a block adds to its output from an input of its own for each token: x += norm(projection(act(gate x) * input)).
/// The stream carries the inputs behind its hidden columns, those of the next block first (Gemma 4).
struct LayerInputSpec {
  int64_t width = 0;
  int64_t blocks = 0;
  Activation activation = nullptr;
  std::string gate = "per_layer_input_gate.weight";        ///< [width, hidden_size]
  std::string projection = "per_layer_projection.weight";  ///< [hidden_size, width]
  std::string norm = "post_per_layer_input_norm";
  bool operator==(const LayerInputSpec&) const = default;
};

struct BlockSpec {
  Topology topology = Topology::kPre;
  NormSpec norm = {};
  std::optional<double> eps_after =
      {};  ///< of the norms after attention and feed-forward, if it differs
  NormNames names = {};
  AttentionSpec attention = {};
  MixerSpec mixer = {};  ///< instead of attention
  FfnSpec ffn = {};
  std::optional<MoeSpec> moe = {};
  std::optional<LayerInputSpec> layer_input = {};
  std::string scalar =
      {};  ///< name of a number that the block's output is multiplied by; empty: none
  double residual_multiplier = 1.0;      ///< of what is added to the stream
  bool normed_residual = false;          ///< BLOOM: the stream continues from the norm's output
  std::vector<LinearSpec> linears = {};  ///< those of experts last, expert by expert
  bool operator==(const BlockSpec&) const = default;
  int64_t experts() const { return moe ? moe->router.experts : 0; }
  /// A mixer that does not take the place of attention.
  const Mamba2Spec* beside_attention() const {
    const auto* const mamba = std::get_if<Mamba2Spec>(&mixer);
    return mamba != nullptr && mamba->beside_attention ? mamba : nullptr;
  }
  bool has_attention() const {
    return std::holds_alternative<std::monostate>(mixer) || beside_attention() != nullptr;
  }
  bool mixes() const { return !std::holds_alternative<NoMixerSpec>(mixer); }
};

/// Where the inputs of single blocks come from: (norm(projection x / sqrt(hidden_size)) + row of the table) / sqrt(2).
struct LayerInputsSpec {
  std::string table;       ///< [vocab_size, blocks * width]
  double scale = 1.0;      ///< of its rows, rounded to the model's dtype
  std::string projection;  ///< [blocks * width, hidden_size]
  std::string norm;
  int64_t rows = 0;  ///< of the table
  int64_t width = 0;
};

/// The layers before the first block.
struct EmbeddingSpec {
  std::string tokens;             ///< name of the table [vocab_size, width]
  int64_t width = 0;              ///< of a token's row
  double scale = 1.0;             ///< of the rows
  bool scale_is_rounded = false;  ///< to the model's dtype, before it is multiplied
  std::string positions = {};     ///< name of the table of positions; empty: none
  int64_t first_position = 0;     ///< row of position 0
  std::string project_in = {};    ///< from width to hidden_size; empty: none
  std::optional<NormSpec> norm = {};
  std::string norm_name = {};
  std::optional<LayerInputsSpec> layer_inputs = {};
};

/// The layers after the last block.
struct HeadSpec {
  std::optional<NormSpec> norm = {};
  std::string norm_name = {};
  std::string project_out = {};  ///< from hidden_size to the head's width; empty: none
  int64_t width = 0;             ///< columns of the head
  std::string weight;            ///< name of the head, or of the embedding if they are tied
  std::string bias = {};         ///< empty: none
  double multiplier = 1.0;       ///< of the logits
  double softcap = 0.0;          ///< as in AttentionSpec, of the logits
};

/// A whole model: config.json as parsed by its family.
struct DecoderSpec {
  ModelConfig config;
  checkpoint::NameRule names;
  std::string block_pattern;  ///< prefix of a block's tensors: "model.decoder.layers.{}."
  EmbeddingSpec embedding;
  HeadSpec head;
  /// Beginnings of names, within a block, of tensors that change nothing: what selects keys (up to max_positions), and
  /// layers of keys and values in blocks that read those of another.
  std::vector<std::string> unread = {};
  std::vector<BlockSpec> kinds;       ///< the different blocks
  std::vector<size_t> kind_of_block;  ///< [blocks]

  const BlockSpec& block(int64_t number) const {
    return kinds[kind_of_block.at(static_cast<size_t>(number))];
  }
  std::string block_prefix(int64_t number) const;
  bool has_experts() const {
    return std::ranges::any_of(kinds, [](const BlockSpec& kind) { return kind.experts() > 0; });
  }
};

}  // namespace prune::models
