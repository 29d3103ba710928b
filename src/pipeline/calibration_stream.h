#pragma once

#include <prune/pipeline/prune_run.h>
#include <prune/stream/staged_forward.h>

#include <functional>
#include <optional>
#include <vector>

#include "calibrate_block.h"

namespace prune::pipeline {

/// The calibration samples on their way through the blocks that they help to prune, in the order that
/// was asked for.
class CalibrationStream {
 public:
  /// @param linears of a block
  CalibrationStream(stream::HiddenStates hidden, const std::vector<models::LinearSpec>& linears,
                    Order order);
  CalibrationStream(const CalibrationStream&) = delete;
  CalibrationStream& operator=(const CalibrationStream&) = delete;

  /// Shows the statistics the inputs that they follow and calls `solve` with those whose Hessians are
  /// there: one after the other, or all at once. Sequential: what comes behind is already computed with
  /// what `solve` left in the block.
  void calibrate(const models::Block& block, BlockStatistics& statistics,
                 const std::function<void(const std::vector<int64_t>& inputs)>& solve);
  /// Takes the samples behind the block that was calibrated.
  void advance(const models::Block& block);

 private:
  stream::HiddenStates hidden_;
  std::optional<stream::StagedForward> staged_;  // sequential only
};

}  // namespace prune::pipeline
