#include <prune/models/hidden_states.h>

#include <algorithm>

namespace prune::models {
namespace {

// Enough tokens to keep the GEMMs busy; the widest activation (the FFN's) of one batch is what a block
// needs beside its weights.
constexpr int64_t kBatchTokens = 2048;

int64_t batch_samples(int64_t seqlen) { return std::max<int64_t>(1, kBatchTokens / seqlen); }

}  // namespace

HiddenStates HiddenStates::embed(const Ends& ends, const Tensor& ids) {
  const int64_t batch = batch_samples(ids.size(1));
  Tensor states;
  for (int64_t first = 0; first < ids.size(0); first += batch) {
    const int64_t end = std::min(first + batch, ids.size(0));
    const Tensor part = ends.embed(ids.slice(0, first, end));
    if (!states.defined()) {
      states = at::empty({ids.size(0), ids.size(1), part.size(2)}, part.options());
    }
    states.slice(0, first, end).copy_(part);
  }
  return HiddenStates(std::move(states));
}

void HiddenStates::for_each_batch(
    const std::function<void(int64_t first, Tensor batch)>& visit) const {
  const int64_t batch = batch_samples(states_.size(1));
  for (int64_t first = 0; first < samples(); first += batch) {
    visit(first, states_.slice(0, first, std::min(first + batch, samples())));
  }
}

void HiddenStates::advance(const Block& block, BlockObserver* observer) {
  for_each_batch([&](int64_t, Tensor batch) { batch.copy_(block.forward(batch, observer)); });
}

void HiddenStates::observe(const Block& block, BlockObserver& observer) const {
  for_each_batch([&](int64_t, const Tensor& batch) { block.forward(batch, &observer); });
}

double HiddenStates::median_energy() const {
  std::vector<Tensor> energies;
  for_each_batch([&](int64_t, const Tensor& batch) {
    energies.push_back(batch.to(at::kFloat).square().sum(-1).flatten());
  });
  return at::cat(energies).median().item<double>();
}

}  // namespace prune::models
