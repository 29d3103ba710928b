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

/// Sees what flows through a block's linear layers during forward().
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
  /// False when nobody reads what forward() returns, so that the block's last layer, whose output goes
  /// nowhere else, need not be computed: a quarter to a third of the block's multiplications.
  virtual bool wants_result() const { return true; }
};

/// One transformer block with its weights on the device, in the computing dtype.
class Block {
 public:
  virtual ~Block() = default;
  /// @param hidden [samples, seqlen, hidden_size] @return the same shape: the stream after the block;
  /// any numbers of that shape for an observer that does not want them.
  virtual Tensor forward(const Tensor& hidden, BlockObserver* observer = nullptr) const = 0;
  /// All linear layers, in the family's order. Replacing a weight changes the next forward().
  virtual std::vector<Linear>& linears() = 0;
};

}  // namespace prune::models
