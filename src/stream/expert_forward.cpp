#include <prune/models/block_sites.h>
#include <prune/stream/expert_forward.h>

#include <algorithm>

namespace prune::stream {
namespace {

// Unless one expert has more: loading so many weights takes little beside running some tokens through them.
constexpr int64_t kWeightsAtOnce = int64_t{1} << 26;

}  // namespace

int64_t experts_at_once(const std::vector<models::LinearSpec>& layers) {
  int64_t weights = 0;  // of one expert
  for (const models::LinearSpec& layer : layers) {
    if (layer.expert == 0) weights += layer.rows * layer.cols;
  }
  return weights == 0 ? 0 : std::max<int64_t>(1, kWeightsAtOnce / weights);
}

ExpertForward::ExpertForward(HiddenStates& stream, const models::Block& block, ExpertTokens tokens,
                             const Before& before)
    : stream_(&stream),
      block_(&block),
      tokens_(tokens),
      load_{.tokens = at::zeros({block.experts()}, at::kDouble),
            .squared_gates = at::zeros({block.experts()}, at::kDouble),
            .all_tokens = stream.samples() * stream.seqlen()} {
  stream.for_each_batch([&](int64_t first, const Tensor& entering) {
    models::SiteActivations at = before(first, entering);
    stream_->replace_batch(first, at.stream);
    if (!sums_) {
      sums_.emplace(stream_->samples(), stream_->seqlen(), at.sum.size(-1), stream_->options(),
                    stream_->scratch(), stream_->place());
    }
    sums_->put(first, at.sum);
    const Tensor experts = at.routes.experts.flatten().cpu();
    const Tensor gates = at.routes.gates.flatten().cpu().to(at::kDouble);
    load_.tokens.index_add_(0, experts, at::ones_like(gates));
    load_.squared_gates.index_add_(0, experts,
                                   gates.square().mul(models::ExpertLoad::kUnits).round());
    routes_[first] = std::move(at.routes);
  });
}

void ExpertForward::reach(const std::vector<int64_t>& sites, models::BlockObserver& observer) {
  if (!knows_load_) {
    observer.on_load(load_);
    knows_load_ = true;
  }
  run_until(models::expert_of(sites.front()), /*observer=*/nullptr);
  for (const int64_t site : sites) block_->load_expert(models::expert_of(site));
  stream_->for_each_batch([&](int64_t first, const Tensor& stream) {
    const models::SiteActivations at = paused(first, stream);
    for (const int64_t site : sites) show(site, at, observer);
  });
}

void ExpertForward::show(int64_t site, const models::SiteActivations& at,
                         models::BlockObserver& observer) const {
  const int64_t expert = models::expert_of(site);
  models::ExpertRows rows =
      tokens_ == ExpertTokens::kAll ? block_->spread_rows(1, at) : block_->rows_of(expert, at);
  if (tokens_ == ExpertTokens::kShrunk) shrink_(site, rows, at);
  if (site == models::last_site_of(expert)) rows.x = block_->inner(expert, rows.x);
  observer.on_expert_site(site, rows);
}

void ExpertForward::shrink_(int64_t site, models::ExpertRows& rows,
                            const models::SiteActivations& at) const {
  const auto reader = std::ranges::find(block_->linears(), site, &models::Linear::site);
  const int64_t cols = reader->weight.size(1);
  const double routed = load_.tokens[models::expert_of(site)].item<double>();
  if (routed >= static_cast<double>(cols)) return;
  const int64_t stride = std::max<int64_t>(1, load_.all_tokens / cols);
  const models::ExpertRows others = block_->spread_rows(stride, at);
  const double lambda = static_cast<double>(cols) / (static_cast<double>(cols) + routed);
  // An expert without any token has the Hessian of all of them, up to a factor.
  const double share = std::max(routed, 1.0) / static_cast<double>(load_.all_tokens);
  rows.weight = at::cat({at::ones_like(rows.gate),
                         at::full_like(others.gate, lambda * share * static_cast<double>(stride))});
  rows.token = at::cat({rows.token, others.token});
  rows.gate = at::cat({rows.gate, others.gate});
  rows.x = at::cat({rows.x, others.x});
}

void ExpertForward::finish(models::BlockObserver* observer) {
  run_until(block_->experts(), observer);
  stream_->for_each_batch([&](int64_t first, const Tensor& stream) {
    models::SiteActivations at = paused(first, stream);
    at.sum = sum_of(first, stream);
    stream_->replace_batch(first, block_->leave(at));
  });
}

void ExpertForward::run_until(int64_t expert, models::BlockObserver* observer) {
  const int64_t at_once = experts_at_once(block_->specs());
  while (next_ < expert) {
    const int64_t end = std::min(expert, next_ + at_once);
    run(next_, end, observer);
    next_ = end;
  }
}

void ExpertForward::run(int64_t first_expert, int64_t end, models::BlockObserver* observer) {
  for (int64_t i = first_expert; i < end; ++i) block_->load_expert(i);
  stream_->for_each_batch([&](int64_t first, const Tensor& stream) {
    const models::SiteActivations at = paused(first, stream);
    const Tensor sum = sum_of(first, stream);
    for (int64_t i = first_expert; i < end; ++i) block_->run_expert(i, at, sum, observer);
    sums_->put(first, sum);
  });
  for (int64_t i = first_expert; i < end; ++i) block_->drop_expert(i);
}

models::SiteActivations ExpertForward::paused(int64_t first, const Tensor& stream) const {
  return {.stream = stream, .x = {}, .routes = routes_.at(first)};
}

Tensor ExpertForward::sum_of(int64_t first, const Tensor& stream) const {
  return sums_->batch(first, stream.size(0), sums_->width()).to(stream.device());
}

}  // namespace prune::stream
