#pragma once

#include <prune/models/block.h>
#include <prune/models/family.h>

#include <functional>

namespace prune::models {

/// The residual stream of all samples between two blocks, [samples, seqlen, hidden_size] in the
/// computing dtype. It is updated in place, batch by batch, so there is never a second copy.
class HiddenStates {
 public:
  /// The stream before the first block. @param ids [samples, seqlen] int64
  static HiddenStates embed(const Ends& ends, const Tensor& ids);

  /// Replaces the stream by what the block makes of it.
  void advance(const Block& block, BlockObserver* observer = nullptr);
  /// Runs the block for the observer's sake only; the stream stays as it is.
  void observe(const Block& block, BlockObserver& observer) const;
  /// Calls `visit` with consecutive batches [samples, seqlen, hidden_size] and the first one's index.
  void for_each_batch(const std::function<void(int64_t first, Tensor batch)>& visit) const;

  /// Median over all tokens of |x|²: the stream's energy, not ruled by a few massive activations.
  double median_energy() const;

  int64_t samples() const { return states_.size(0); }
  int64_t size_bytes() const { return states_.numel() * states_.element_size(); }

 private:
  explicit HiddenStates(Tensor states) : states_(std::move(states)) {}

  Tensor states_;
};

}  // namespace prune::models
