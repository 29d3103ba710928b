#include <prune/core/memory.h>
#include <prune/models/block_sites.h>
#include <prune/stream/expert_forward.h>
#include <prune/stream/staged_forward.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>

namespace prune::stream {
namespace {

constexpr int64_t kAllSites = std::numeric_limits<int64_t>::max();

}  // namespace

KeptSites choose_kept_sites(const models::DecoderSpec& model, int64_t tokens, int64_t element_size,
                            at::Device device) {
  std::set<int64_t, std::greater<>> widths;
  for (const models::BlockSpec& kind : model.kinds) {
    for (const models::LinearSpec& layer : kind.linears) {
      if (layer.site > 0 && layer.expert < 0) widths.insert(layer.cols);
    }
  }
  if (widths.empty()) return {};
  const auto place_of = [&](int64_t width) {
    return choose_place(tokens * width * element_size, device);
  };
  for (const int64_t width : widths) {
    if (place_of(width) == StatesPlace::kDevice) return {.width = width};
  }
  if (widths.size() > 1) widths.erase(widths.begin());
  return {.width = *widths.begin(), .place = place_of(*widths.begin())};
}

StagedForward::StagedForward(HiddenStates& stream, const models::DecoderSpec& model,
                             ExpertTokens tokens)
    : StagedForward(stream,
                    choose_kept_sites(model, stream.samples() * stream.seqlen(),
                                      static_cast<int64_t>(stream.options().dtype().itemsize()),
                                      stream.options().device()),
                    tokens) {}

StagedForward::StagedForward(HiddenStates& stream, const KeptSites& kept, ExpertTokens tokens)
    : stream_(&stream), tokens_(tokens) {
  if (kept.width == 0) return;
  store_.emplace(stream.samples(), stream.seqlen(), kept.width, stream.options(), stream.scratch(),
                 kept.place);
  if (kept.place != StatesPlace::kDevice) {
    spdlog::info("activations within a block: {} in {}", human_bytes(store_->size_bytes()),
                 place_name(kept.place));
  }
}

void StagedForward::begin(const models::Block& block) {
  block_ = &block;
  position_ = 0;
}

void StagedForward::reach(const std::vector<int64_t>& sites, models::BlockObserver& observer) {
  const int64_t site = sites.front();
  if (models::is_of_expert(site)) {
    if (!experts_) enter_experts();
    experts_->reach(sites, observer);
    return;
  }
  TORCH_INTERNAL_ASSERT(sites.size() == 1);
  const auto reader = std::ranges::find(block_->linears(), site, &models::Linear::site);
  const int64_t cols = reader->weight.size(1);
  const bool keeps = site > 0 && store_ && cols <= store_->width();
  stream_->for_each_batch([&](int64_t first, const Tensor& stream) {
    const models::SiteActivations at = walk(first, stream, site);
    observer.on_site(site, at.x);
    if (!keeps) return;
    if (!at.stream.is_same(stream)) stream_->replace_batch(first, at.stream);
    store_->put(first, at.x);
    besides_[first] = at.beside;
  });
  if (!keeps) return;
  position_ = site;
  cols_ = cols;
}

void StagedForward::enter_experts() {
  experts_.emplace(*stream_, *block_, tokens_, [this](int64_t first, const Tensor& stream) {
    return walk(first, stream, kAllSites);
  });
}

void StagedForward::finish() {
  if (block_->experts() > 0) {
    if (!experts_) enter_experts();
    experts_->finish();
    experts_.reset();
    return;
  }
  stream_->for_each_batch([&](int64_t first, const Tensor& stream) {
    stream_->replace_batch(first, walk(first, stream, kAllSites).stream);
  });
}

models::SiteActivations StagedForward::walk(int64_t first, const Tensor& stream,
                                            int64_t site) const {
  models::SiteActivations at;
  if (position_ == 0) {
    at = block_->enter(stream);
  } else {
    const Tensor room = store_->batch(first, stream.size(0), cols_);
    at = {.stream = stream, .x = room.to(stream.device()), .beside = besides_.at(first)};
  }
  for (const int64_t passed : block_->sites()) {
    if (passed >= position_ && passed < site) at = block_->pass(passed, std::move(at));
  }
  return at;
}

}  // namespace prune::stream
