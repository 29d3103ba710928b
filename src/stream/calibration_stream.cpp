#include <prune/stream/calibration_stream.h>

namespace prune::stream {

CalibrationStream::CalibrationStream(HiddenStates hidden, const models::DecoderSpec& model,
                                     Order order, ExpertTokens tokens)
    : hidden_(std::move(hidden)) {
  if (order == Order::kSequential) staged_.emplace(hidden_, model, tokens);
}

CalibrationStream::CalibrationStream(HiddenStates hidden, const KeptSites& kept,
                                     ExpertTokens tokens)
    : hidden_(std::move(hidden)) {
  staged_.emplace(hidden_, kept, tokens);
}

void CalibrationStream::observe(const models::Block& block, const std::vector<int64_t>& sites,
                                models::BlockObserver& observer) {
  if (!staged_) {
    hidden_.observe(block, observer);
    return;
  }
  if (!in_block_) staged_->begin(block);
  in_block_ = true;
  staged_->reach(sites, observer);
}

void CalibrationStream::advance(const models::Block& block) {
  if (!staged_) {
    hidden_.advance(block);
    return;
  }
  if (!in_block_) staged_->begin(block);
  staged_->finish();
  in_block_ = false;
}

}  // namespace prune::stream
