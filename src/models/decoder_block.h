#pragma once

#include <prune/models/block.h>
#include <prune/models/decoder_spec.h>
#include <prune/models/weight_loader.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mixer.h"
#include "norm.h"
#include "router.h"

namespace prune::models {

/// A block of any family, as its spec says (src/models/README.md, "One decoder").
class DecoderBlock : public Block {
 public:
  /// @param prefix  of the block's tensors
  /// @param hidden_size  of the stream
  DecoderBlock(const BlockSpec& spec, const WeightLoader& loader, const std::string& prefix,
               int64_t hidden_size, ExpertWeights experts);

  SiteActivations enter(const Tensor& stream) const override;
  SiteActivations pass(int64_t site, SiteActivations at, BlockObserver* observer) const override;
  Tensor extend(const Tensor& hidden, BlockCache& cache) const override;
  std::vector<Linear>& linears() override { return linears_; }
  const std::vector<Linear>& linears() const override { return linears_; }

  const std::vector<LinearSpec>& specs() const override { return spec_.linears; }
  const std::vector<int64_t>& sites() const override { return sites_; }

  int64_t experts() const override { return spec_.experts(); }
  void load_expert(int64_t expert) const override;
  void drop_expert(int64_t expert) const override;
  void on_load(std::function<void(Linear& layer)> action) override { on_load_ = std::move(action); }
  ExpertRows rows_of(int64_t expert, const SiteActivations& at) const override;
  ExpertRows spread_rows(int64_t stride, const SiteActivations& at) const override;
  Tensor inner(int64_t expert, const Tensor& x, BlockObserver* observer) const override;
  void add_output_(int64_t expert, const ExpertRows& rows, const Tensor& sum,
                   BlockObserver* observer) const override;
  Tensor leave(const SiteActivations& at) const override;

 private:
  struct Heads {
    Tensor query, key, value;  // [samples, heads, seqlen, head_dim]
    Tensor gate = {};          // of the output, [samples, seqlen, heads * head_dim], or undefined
  };

  // The layer with this role, of an expert or (-1) outside them.
  Tensor linear(Role role, const Tensor& x, BlockObserver* observer, int64_t expert = -1) const;
  Heads heads_of(const Tensor& x, BlockObserver* observer) const;
  /// pass(), with the tokens before if there may be some.
  SiteActivations pass(int64_t site, SiteActivations at, BlockObserver* observer,
                       BlockCache* cache) const;
  // What attention, or a mixer, gives to its last layer. @param cache of the tokens before, if there may be some
  // @param stream  carries keys and values that other blocks read or have stored
  Tensor context(const Tensor& x, Tensor& stream, BlockObserver* observer, BlockCache* cache) const;
  Tensor mixed(const Tensor& x, BlockObserver* observer, BlockCache* cache) const;
  // Latent attention: its first layers, and from the latents to what its last layer reads.
  SiteActivations latents(SiteActivations at, BlockObserver* observer) const;
  SiteActivations at_key_latent(const Tensor& stream, const Tensor& query, const Tensor& key) const;
  Tensor context_of_latents(const SiteActivations& at, BlockObserver* observer,
                            BlockCache* cache) const;
  // @param gate, input_gate  of the tokens, as in Routes
  ExpertRows rows_at(const Tensor& token, const Tensor& gate, const Tensor& input_gate,
                     const SiteActivations& at) const;
  /// What the last layer of the feed-forward, or of an expert, reads.
  Tensor ffn_inner(const FfnSpec& ffn, const Tensor& x, BlockObserver* observer,
                   int64_t expert = -1) const;
  /// The hidden columns of the stream.
  Tensor hidden_of(const Tensor& stream) const;
  /// The stream with other hidden columns.
  Tensor with_hidden(const Tensor& hidden, const Tensor& stream) const;
  Tensor ffn_input(const Tensor& hidden) const;
  Tensor expert_input(const Tensor& hidden) const;
  // SiteActivations::sum has what the experts give first, what the shared one gives behind it.
  bool sums_apart() const;
  // Columns of what an expert reads and gives.
  int64_t expert_size() const;
  SiteActivations before_ffn(const Tensor& stream) const;
  SiteActivations after_attention(const Tensor& stream, Tensor y, BlockObserver* observer) const;
  /// @param shared output of the expert that all tokens pass, or undefined
  SiteActivations before_experts(const Tensor& stream, const Tensor& shared) const;
  Tensor after_ffn(const Tensor& stream, const Tensor& y) const;

  // The position of an expert's first layer.
  size_t first_layer_of(int64_t expert) const;

  BlockSpec spec_;
  int64_t hidden_size_;
  std::vector<int64_t> sites_;
  WeightLoader loader_;
  std::string prefix_;
  ExpertWeights expert_weights_;
  std::function<void(Linear& layer)> on_load_;
  mutable std::vector<Linear> linears_;  // those of experts lack weights until they are loaded
  using PositionOfRole = std::array<std::optional<size_t>, static_cast<size_t>(Role::kRoles)>;
  PositionOfRole by_role_;
  PositionOfRole in_expert_;  // counted from its first layer
  size_t layers_of_expert_ = 0;
  std::unique_ptr<Mixer> mixer_;  // or nothing
  std::optional<Router> router_;
  Tensor sinks_;                          // [heads] or undefined
  Tensor head_gates_;                     // [heads, hidden_size] or undefined
  Tensor shared_gate_;                    // [1, hidden_size] or undefined
  Tensor scalar_;                         // [1] or undefined
  Tensor layer_gate_, layer_projection_;  // of LayerInputSpec
  Linear to_latent_, from_latent_;        // of experts that read a latent
  std::optional<Norm> before_attention_, before_ffn_, after_attention_, after_ffn_;
  std::optional<Norm> before_experts_, after_experts_, after_shared_, after_layer_input_;
  std::optional<Norm> query_norm_, key_norm_;  // of heads, or of latents
  std::optional<Norm> value_norm_;
};

}  // namespace prune::models
