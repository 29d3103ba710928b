#pragma once

#include <prune/core/tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace prune::kernels {
class PackedWeight;
}

namespace prune::models {

struct LinearSpec;

/// A linear layer of a block: y = x Wᵀ + b.
struct Linear {
  std::string name;  ///< canonical, e.g. "model.decoder.layers.0.fc1"
  Tensor weight;     ///< [rows, cols]; undefined if it is packed
  Tensor bias;       ///< [rows] or undefined
  int64_t site = 0;  ///< layers of a block with the same number read the same activations
  bool writes_stream = false;
  int64_t expert = -1;  ///< the expert that it belongs to
  std::shared_ptr<const kernels::PackedWeight> packed = nullptr;

  /// x Wᵀ + b. @param x [..., cols]. @return [..., rows]
  Tensor operator()(const Tensor& x) const;
};

/// Activations of the tokens that a router has sent to one expert.
struct ExpertRows {
  Tensor token;         ///< [rows] int64: of the batch's samples * seqlen tokens
  Tensor gate;          ///< [rows]: what the expert's output is multiplied by
  Tensor x;             ///< [rows, cols]
  int64_t samples = 0;  ///< of the batch
  int64_t seqlen = 0;
  Tensor weight = {};  ///< [rows] float32: what each counts in a Hessian; undefined: all count 1
};

/// What routers have sent to the experts of a block.
struct ExpertLoad {
  Tensor tokens;  ///< [experts] float64
  /// [experts] float64: sum over the tokens, in whole units, so that it is the same in any sequence
  Tensor squared_gates;
  int64_t all_tokens = 0;

  static constexpr double kUnits = 0x1p20;  ///< per 1 of a squared gate
  /// 0 for an expert without tokens.
  double mean_squared_gate(int64_t expert) const;
};

/// Receives the activations that flow through a block's linear layers.
class BlockObserver {
 public:
  virtual ~BlockObserver() = default;
  /// Called once per site with its activations x [samples, seqlen, cols], before its layers run.
  virtual void on_site(int64_t site, const Tensor& x) = 0;
  /// The same for a site within an expert.
  virtual void on_expert_site(int64_t site, const ExpertRows& rows) {
    static_cast<void>(site);
    static_cast<void>(rows);
  }
  /// Called once per block, before its experts, with what the samples bring to them.
  virtual void on_load(ExpertLoad& load) { static_cast<void>(load); }
  /// Called after each layer with its output y [..., rows], bias included.
  virtual void on_output(const Linear& layer, const Tensor& y) {
    static_cast<void>(layer);
    static_cast<void>(y);
  }
};

/// The experts of each token.
struct Routes {
  Tensor experts;           ///< [tokens, chosen] int64
  Tensor gates;             ///< [tokens, chosen] float32: of the experts' outputs
  Tensor input_gates = {};  ///< the same of their inputs; undefined: all are 1
};

/// The state of samples paused within a block, just before the layers that read one site, or before the experts.
struct SiteActivations {
  Tensor stream;  ///< [samples, seqlen, stream_size]: the residual that outputs are added to
  Tensor
      x;  ///< [samples, seqlen, cols]: the site's activations; undefined before experts and after the last layers
  Tensor beside =
      {};  ///< [samples, seqlen, any]: what later sites need of attention or the mixer beside it
  /// [samples, seqlen, any]: outputs of the shared expert and of experts that have run, added up or, where either is
  /// changed afterwards, beside each other
  Tensor sum = {};
  Routes routes = {};  ///< before experts
};

/// What a mixer with a state keeps of the tokens so far; undefined before the first.
struct MixerState {
  Tensor inputs;  ///< [samples, kernel - 1, channels]: of its convolution
  Tensor sums;    ///< [samples, heads, key_dim, value_dim] float32: of its recurrence
};

/// What a block keeps of the tokens so far: keys and values of its attention, or the state of its mixer.
class BlockCache {
 public:
  /// Number of tokens.
  int64_t length() const { return length_; }
  /// The state of the mixer, to which it adds the next tokens.
  MixerState& state() { return state_; }
  /// Counts tokens that append() does not.
  void count(int64_t tokens) { length_ += tokens; }
  /// Adds those of the next tokens.
  /// @param key, value [samples, kv_heads, tokens, head_dim] as attention takes them
  /// @return all keys and all values, [samples, kv_heads, length(), head_dim]; views that the next call invalidates
  std::pair<Tensor, Tensor> append(const Tensor& key, const Tensor& value);

 private:
  Tensor keys_, values_;  // with room for more tokens
  MixerState state_;
  int64_t length_ = 0;
};

/// When a block loads the weights of its experts.
enum class ExpertWeights {
  kResident,
  kOnDemand,  ///< by Block::load_expert(): a few experts are in memory instead of all
};

/// One transformer block with its weights on the device, in the computing dtype. A site is a set of
/// activations that some linear layers read; sites are numbered in the order in which a forward reaches them.
/// A forward is enter(), then pass() for each of the sites() in turn. If the block has experts, that ends before them:
/// then every expert's rows_of(), inner() and add_output_(), and leave().
class Block {
 public:
  virtual ~Block() = default;
  /// @param stream [samples, seqlen, stream_size]
  /// @return the state at the first site
  virtual SiteActivations enter(const Tensor& stream) const = 0;
  /// Runs the layers that read `site` and everything up to the next site, or the experts. The stream in the result is
  /// the very tensor that went in, unless an output was added to it or it was normalised.
  virtual SiteActivations pass(int64_t site, SiteActivations at,
                               BlockObserver* observer = nullptr) const = 0;
  /// Runs the whole block on the tokens that follow those in the cache, and adds them to it.
  /// @param hidden [samples, tokens, stream_size]
  /// @return the stream after the block, same shape: what forward() gives for these tokens behind those before
  virtual Tensor extend(const Tensor& hidden, BlockCache& cache) const = 0;
  /// All linear layers, in the family's order, those of experts last. Replacing a weight changes the next pass()
  /// through it.
  virtual std::vector<Linear>& linears() = 0;
  virtual const std::vector<Linear>& linears() const = 0;

  /// The same layers as config.json determines them, in the same sequence.
  virtual const std::vector<LinearSpec>& specs() const = 0;

  /// Number of experts; 0 in a block without a router.
  virtual int64_t experts() const = 0;
  /// Loads those weights of an expert that are not there. @throws as WeightLoader::load()
  virtual void load_expert(int64_t expert) const = 0;
  /// Gives up the weights of an expert that can be loaded again, replaced or not. Nothing for ExpertWeights::kResident.
  virtual void drop_expert(int64_t expert) const = 0;
  /// Called for each layer of an expert that load_expert() has loaded: it may replace the weight.
  virtual void on_load(std::function<void(Linear& layer)> action) = 0;
  /// The tokens that this expert gets, with what its first layers read.
  virtual ExpertRows rows_of(int64_t expert, const SiteActivations& at) const = 0;
  /// Every stride-th token as if an expert got it, with a gate of 1.
  virtual ExpertRows spread_rows(int64_t stride, const SiteActivations& at) const = 0;
  /// What the expert's last layer reads. @param x [rows, hidden_size]. @return [rows, width]
  virtual Tensor inner(int64_t expert, const Tensor& x,
                       BlockObserver* observer = nullptr) const = 0;
  /// Adds the expert's gated outputs to `sum`.
  /// @param rows with x = inner(...)
  virtual void add_output_(int64_t expert, const ExpertRows& rows, const Tensor& sum,
                           BlockObserver* observer = nullptr) const = 0;
  /// @return the stream after the block
  virtual Tensor leave(const SiteActivations& at) const = 0;

  /// Numbers of the sites outside experts, ascending.
  virtual const std::vector<int64_t>& sites() const = 0;
  /// Runs everything outside experts. @param hidden [samples, seqlen, stream_size]
  SiteActivations run_sites(const Tensor& hidden, BlockObserver* observer = nullptr) const;
  /// Runs an expert whose weights are loaded on its tokens, and adds its gated outputs to `sum`.
  void run_expert(int64_t expert, const SiteActivations& at, const Tensor& sum,
                  BlockObserver* observer = nullptr) const;
  /// Runs the whole block.
  /// @param hidden [samples, seqlen, stream_size]
  /// @return the stream after the block, same shape
  Tensor forward(const Tensor& hidden, BlockObserver* observer = nullptr) const;
};

}  // namespace prune::models
