#pragma once

#include <prune/stream/expert_forward.h>

#include <optional>
#include <vector>

namespace prune::stream {

/// One forward of all samples through a block whose layers stay as they are, in stages: first everything outside experts,
/// then experts.
class EstimateStream {
 public:
  /// @param block must live until finish()
  EstimateStream(HiddenStates& stream, const models::Block& block, ExpertTokens tokens)
      : stream_(&stream), block_(&block), tokens_(tokens) {}

  /// Shows the sites of a stage to the observer; with those outside experts also their layers' outputs.
  /// @param sites all of those outside experts, or as ExpertForward::reach() takes them
  void reach(const std::vector<int64_t>& sites, models::BlockObserver& observer);
  /// Runs what has not run; the stream now holds the block's output.
  void finish();

 private:
  HiddenStates* stream_;
  const models::Block* block_;
  ExpertTokens tokens_;
  bool has_run_ = false;
  std::optional<ExpertForward> experts_;
};

}  // namespace prune::stream
