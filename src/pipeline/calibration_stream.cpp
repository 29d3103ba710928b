#include "calibration_stream.h"

namespace prune::pipeline {

CalibrationStream::CalibrationStream(stream::HiddenStates hidden,
                                     const std::vector<models::LinearSpec>& linears, Order order)
    : hidden_(std::move(hidden)) {
  if (order == Order::kSequential) staged_.emplace(hidden_, linears);
}

void CalibrationStream::calibrate(
    const models::Block& block, BlockStatistics& statistics,
    const std::function<void(const std::vector<int64_t>& inputs)>& solve) {
  const std::vector<int64_t> inputs = statistics.inputs();
  if (!staged_) {
    if (inputs.empty()) return;
    hidden_.observe(block, statistics);
    solve(inputs);
    return;
  }
  staged_->begin(block);
  for (const int64_t input : inputs) {
    staged_->reach(input, statistics);
    solve({input});
  }
}

void CalibrationStream::advance(const models::Block& block) {
  if (staged_) {
    staged_->finish();
  } else {
    hidden_.advance(block);
  }
}

}  // namespace prune::pipeline
