#pragma once

#include <prune/core/tensor.h>

#include <string>
#include <vector>

namespace prune::models {

/// A linear layer of a block: y = x Wᵀ + b.
struct Linear {
  std::string name;   ///< canonical, e.g. "model.decoder.layers.0.fc1"
  Tensor weight;      ///< [rows, cols]
  Tensor bias;        ///< [rows] or undefined
  int64_t input = 0;  ///< layers of a block with the same number read the same input
  bool writes_stream = false;
};

/// Sees what flows through a block's linear layers.
class BlockObserver {
 public:
  virtual ~BlockObserver() = default;
  /// Called once for each distinct input, with x [samples, seqlen, cols], before its layers run.
  virtual void on_input(int64_t input, const Tensor& x) = 0;
  /// Called after each layer with its output y [samples, seqlen, rows], bias included.
  virtual void on_output(const Linear& layer, const Tensor& y) {
    static_cast<void>(layer);
    static_cast<void>(y);
  }
};

/// Samples inside a block, in front of the layers that read one of its inputs.
struct Midway {
  Tensor stream;  ///< [samples, seqlen, hidden_size]: what the block's outputs are added to
  Tensor x;       ///< [samples, seqlen, cols]: the input; undefined behind the last layers
};

/// One transformer block with its weights on the device, in the computing dtype. Its distinct inputs are
/// numbered in the order in which they come up, so a forward is: enter(), then pass() for each of them.
class Block {
 public:
  virtual ~Block() = default;
  /// @param hidden [samples, seqlen, hidden_size] @return in front of the readers of input 0
  virtual Midway enter(const Tensor& hidden) const = 0;
  /// Through the layers that read this input, up to the next one. The stream that comes back is the
  /// very tensor that went in, unless an output was added to it or it was normalised.
  virtual Midway pass(int64_t input, Midway at, BlockObserver* observer = nullptr) const = 0;
  /// All linear layers, in the family's order. Replacing a weight changes the next pass() through it.
  virtual std::vector<Linear>& linears() = 0;
  virtual const std::vector<Linear>& linears() const = 0;

  /// Number of distinct inputs.
  int64_t inputs() const { return linears().back().input + 1; }
  /// The whole block. @param hidden [samples, seqlen, hidden_size] @return the same shape: the stream after it
  Tensor forward(const Tensor& hidden, BlockObserver* observer = nullptr) const;
};

}  // namespace prune::models
