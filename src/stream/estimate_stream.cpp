#include <prune/models/block_sites.h>
#include <prune/stream/estimate_stream.h>

namespace prune::stream {

void EstimateStream::reach(const std::vector<int64_t>& sites, models::BlockObserver& observer) {
  if (block_->experts() == 0) {
    stream_->advance(*block_, &observer);
    has_run_ = true;
    return;
  }
  if (!experts_) experts_.emplace(stream_->before_experts(*block_, tokens_, &observer));
  if (models::is_of_expert(sites.front())) experts_->reach(sites, observer);
}

void EstimateStream::finish() {
  if (experts_) return experts_->finish();
  if (!has_run_) stream_->advance(*block_);
}

}  // namespace prune::stream
