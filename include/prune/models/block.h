#pragma once

#include <prune/core/tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace prune::kernels {
class PackedWeight;
}

namespace prune::models {

/// A linear layer of a block: y = x Wᵀ + b.
struct Linear {
  std::string name;  ///< canonical, e.g. "model.decoder.layers.0.fc1"
  Tensor weight;     ///< [rows, cols]; undefined if it is packed
  Tensor bias;       ///< [rows] or undefined
  int64_t site = 0;  ///< layers of a block with the same number read the same activations
  bool writes_stream = false;
  std::shared_ptr<const kernels::PackedWeight> packed = nullptr;

  /// x Wᵀ + b. @param x [..., cols]. @return [..., rows]
  Tensor operator()(const Tensor& x) const;
};

/// Receives the activations that flow through a block's linear layers.
class BlockObserver {
 public:
  virtual ~BlockObserver() = default;
  /// Called once per site with its activations x [samples, seqlen, cols], before its layers run.
  virtual void on_site(int64_t site, const Tensor& x) = 0;
  /// Called after each layer with its output y [samples, seqlen, rows], bias included.
  virtual void on_output(const Linear& layer, const Tensor& y) {
    static_cast<void>(layer);
    static_cast<void>(y);
  }
};

/// The state of samples paused within a block, just before the layers that read one site.
struct SiteActivations {
  Tensor stream;  ///< [samples, seqlen, hidden_size]: the residual that outputs are added to
  Tensor x;  ///< [samples, seqlen, cols]: the site's activations; undefined after the last layers
};

/// The keys and values that a block's attention has made of the tokens so far.
class BlockCache {
 public:
  /// Number of tokens.
  int64_t length() const { return length_; }
  /// Adds those of the next tokens.
  /// @param key, value [samples, kv_heads, tokens, head_dim] as attention takes them
  /// @return all keys and all values, [samples, kv_heads, length(), head_dim]; views that the next call invalidates
  std::pair<Tensor, Tensor> append(const Tensor& key, const Tensor& value);

 private:
  Tensor keys_, values_;  // with room for more tokens
  int64_t length_ = 0;
};

/// One transformer block with its weights on the device, in the computing dtype. A site is a set of
/// activations that some linear layers read; sites are numbered in the order in which a forward reaches them.
/// A forward is enter(), then pass() for each site in turn.
class Block {
 public:
  virtual ~Block() = default;
  /// @param hidden [samples, seqlen, hidden_size]
  /// @return the state at site 0
  virtual SiteActivations enter(const Tensor& hidden) const = 0;
  /// Runs the layers that read `site` and everything up to the next site. The stream in the result is the
  /// very tensor that went in, unless an output was added to it or it was normalised.
  virtual SiteActivations pass(int64_t site, SiteActivations at,
                               BlockObserver* observer = nullptr) const = 0;
  /// Runs the whole block on the tokens that follow those in the cache, and adds them to it.
  /// @param hidden [samples, tokens, hidden_size]
  /// @return the stream after the block, same shape: what forward() gives for these tokens behind those before
  virtual Tensor extend(const Tensor& hidden, BlockCache& cache) const = 0;
  /// All linear layers, in the family's order. Replacing a weight changes the next pass() through it.
  virtual std::vector<Linear>& linears() = 0;
  virtual const std::vector<Linear>& linears() const = 0;

  /// Number of sites.
  int64_t sites() const { return linears().back().site + 1; }
  /// Runs the whole block.
  /// @param hidden [samples, seqlen, hidden_size]
  /// @return the stream after the block, same shape
  Tensor forward(const Tensor& hidden, BlockObserver* observer = nullptr) const;
};

}  // namespace prune::models
