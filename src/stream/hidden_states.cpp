#include <prune/core/memory.h>
#include <prune/stream/expert_forward.h>
#include <prune/stream/hidden_states.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace prune::stream {
namespace {

// A GPU needs many tokens so that GEMMs outweigh launches. A CPU needs few, so that activations
// stay in its caches: SmolLM2-135M runs 15 % faster with 512 than with 2048. The batch's widest
// activations (the feed-forward's) set how much memory a block needs beside its weights.
constexpr int64_t kBatchTokensCpu = 512;
constexpr int64_t kBatchTokensCuda = 16384;

}  // namespace

int64_t batch_samples(int64_t seqlen, bool on_cuda) {
  return std::max<int64_t>(1, (on_cuda ? kBatchTokensCuda : kBatchTokensCpu) / seqlen);
}

HiddenStates::HiddenStates(const Tensor& ids, const Tensor& like,
                           const std::filesystem::path& scratch, StatesPlace place, int64_t batch)
    : samples_(ids.size(0)),
      seqlen_(ids.size(1)),
      batch_(batch),
      options_(like.options()),
      scratch_(scratch),
      store_(samples_, seqlen_, like.size(2), options_, scratch, place) {}

HiddenStates::HiddenStates(const HiddenStates& like, StatesPlace place)
    : samples_(like.samples_),
      seqlen_(like.seqlen_),
      batch_(like.batch_),
      options_(like.options_),
      scratch_(like.scratch_),
      store_(samples_, seqlen_, like.width(), options_, scratch_, place) {}

HiddenStates HiddenStates::copy() const {
  HiddenStates result(*this, choose_place(size_bytes(), options_.device()));
  for_each_batch([&](int64_t first, const Tensor& batch) { result.replace_batch(first, batch); });
  return result;
}

HiddenStates HiddenStates::embed(const models::Embedding& embedding, const Tensor& ids,
                                 const std::filesystem::path& scratch, int64_t batch) {
  const Tensor one = embedding.embed(ids.slice(0, 0, 1));
  const int64_t size_bytes = ids.size(0) * one.numel() * one.element_size();
  const StatesPlace place = choose_place(size_bytes, one.device());
  if (place != StatesPlace::kDevice) {
    spdlog::info("hidden states: {} in {}", human_bytes(size_bytes), place_name(place));
  }
  if (batch == 0) batch = batch_samples(ids.size(1), one.is_cuda());
  return embed(embedding, ids, scratch, place, batch);
}

HiddenStates HiddenStates::embed(const models::Embedding& embedding, const Tensor& ids,
                                 const std::filesystem::path& scratch, StatesPlace place,
                                 int64_t batch) {
  if (batch == 0) {
    const bool on_cuda = embedding.embed(ids.slice(0, 0, 1)).is_cuda();
    batch = batch_samples(ids.size(1), on_cuda);
  }
  std::optional<HiddenStates> hidden;
  for (int64_t first = 0; first < ids.size(0); first += batch) {
    const Tensor part = embedding.embed(ids.slice(0, first, std::min(first + batch, ids.size(0))));
    if (!hidden) hidden.emplace(HiddenStates(ids, part, scratch, place, batch));
    hidden->replace_batch(first, part);
  }
  return std::move(*hidden);
}

Tensor HiddenStates::stored_batch(int64_t first) const {
  return store_.batch(first, std::min(batch_, samples_ - first), store_.width());
}

void HiddenStates::for_each_batch(
    const std::function<void(int64_t first, const Tensor& batch)>& visit) const {
  for (int64_t first = 0; first < samples_; first += batch_) {
    const Tensor stored = stored_batch(first);
    visit(first, stored.to(options_.device()));
    store_.release(stored);
  }
}

Tensor HiddenStates::sample(int64_t number) const {
  const Tensor stored = store_.batch(number, 1, store_.width());
  // A file's pages may leave memory, so the sample must not be a view of them.
  Tensor sample = stored.to(options_.device(), /*non_blocking=*/false,
                            /*copy=*/store_.place() == StatesPlace::kFile);
  store_.release(stored);
  return sample;
}

void HiddenStates::replace_batch(int64_t first, const Tensor& stream) {
  const Tensor stored = stored_batch(first);
  stored.copy_(stream);
  store_.release(stored);
}

void HiddenStates::advance(const models::Block& block, models::BlockObserver* observer) {
  if (block.experts() > 0) {
    return before_experts(block, ExpertTokens::kRouted, observer).finish(observer);
  }
  for_each_batch([&](int64_t first, const Tensor& batch) {
    replace_batch(first, block.forward(batch, observer));
  });
}

ExpertForward HiddenStates::before_experts(const models::Block& block, ExpertTokens tokens,
                                           models::BlockObserver* observer) {
  return {*this, block, tokens,
          [&](int64_t, const Tensor& batch) { return block.run_sites(batch, observer); }};
}

void HiddenStates::observe(const models::Block& block, models::BlockObserver& observer) const {
  for_each_batch([&](int64_t, const Tensor& batch) {
    models::SiteActivations at = block.enter(batch);
    const std::vector<int64_t>& sites = block.sites();
    for (const int64_t site : sites) {
      observer.on_site(site, at.x);
      if (site == sites.back()) return;
      at = block.pass(site, std::move(at), &observer);
    }
  });
}

Tensor HiddenStates::energies() const {
  std::vector<Tensor> energies;
  for_each_batch([&](int64_t, const Tensor& batch) {
    energies.push_back(batch.to(at::kFloat).square().sum(-1).flatten());
  });
  return at::cat(energies);
}

}  // namespace prune::stream
