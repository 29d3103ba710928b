#pragma once

#include <prune/stream/staged_forward.h>

#include <optional>
#include <vector>

namespace prune::stream {

/// When the layers of a block are pruned.
enum class Order {
  kSequential,  ///< each site after the layers before it (GPTQ's true-sequential); one forward per block
  kBlock,       ///< all Hessians of a block come from its dense weights (SparseGPT); two forwards
};

/// The residual stream of the calibration samples, taken through the blocks while their layers are pruned.
class CalibrationStream {
 public:
  CalibrationStream(HiddenStates hidden, const models::DecoderSpec& model, Order order,
                    ExpertTokens tokens = ExpertTokens::kShrunk);
  /// @param kept which sites StagedForward keeps; the other constructor chooses
  CalibrationStream(HiddenStates hidden, const KeptSites& kept, ExpertTokens tokens);
  CalibrationStream(const CalibrationStream&) = delete;
  CalibrationStream& operator=(const CalibrationStream&) = delete;

  /// Brings all samples to these sites and passes the activations to the observer. kSequential: one site per
  /// call, or those of several experts, ascending; the layers before it are used as they are now. kBlock: one call with all sites.
  void observe(const models::Block& block, const std::vector<int64_t>& sites,
               models::BlockObserver& observer);
  /// Runs the rest of the block; the stream then holds its output.
  void advance(const models::Block& block);

 private:
  HiddenStates hidden_;
  std::optional<StagedForward> staged_;  // kSequential only
  bool in_block_ = false;
};

}  // namespace prune::stream
