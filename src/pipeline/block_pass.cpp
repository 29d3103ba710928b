#include "block_pass.h"

#include <prune/core/interrupt.h>
#include <prune/core/kill_point.h>
#include <prune/evaluation/perplexity.h>
#include <prune/stream/walk.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "inputs.h"

namespace prune::pipeline {
namespace {

// Enough to tell blocks apart: the differences between them are far larger than those between texts.
constexpr int64_t kTokens = 4096;

constexpr int64_t kWholeModel = -1;

/// Losses of the model without single blocks, on this rank's share of the samples.
class BlockTrials {
 public:
  BlockTrials(const journal::RunInputs& inputs, const PruneOptions& options,
              const std::filesystem::path& scratch, dist::Communicator& comm, Progress& progress)
      : model_(inputs.model),
        options_(perplexity_options({}, scratch, options.deterministic)),
        comm_(comm),
        progress_(progress) {
    const calibration::TokenSet& tokens = inputs.calibration;
    const int64_t count = samples_for_blocks(tokens.samples(), tokens.seqlen());
    tokens_ = count * tokens.seqlen();
    const Tensor last = tokens.ids.slice(0, tokens.samples() - count);
    const dist::Range mine = dist::even_part(count, comm.size(), comm.rank());
    ids_ = last.slice(0, mine.begin, mine.end);
  }

  int64_t tokens() const { return tokens_; }

  /// The mean loss without `removed` and one more block, for each of `candidates`; kWholeModel removes no more.
  std::map<int64_t, double> losses(const std::set<int64_t>& removed,
                                   const std::set<int64_t>& candidates) {
    std::map<int64_t, std::vector<stream::HiddenStates>> without;  // none on a rank without samples
    for (const int64_t candidate : candidates) without[candidate];
    pass_blocks(removed, candidates, without);
    const std::unique_ptr<models::Head> head = model_.load_head();
    std::map<int64_t, double> result;
    for (const auto& [candidate, hidden] : without) {
      const Tensor mine = hidden.empty()
                              ? at::empty({0}, at::kDouble)
                              : evaluation::segment_losses(*head, hidden.front(), ids_, options_);
      result[candidate] = comm_.gather(mine).mean().item<double>();
    }
    model_.drop_ends();
    return result;
  }

 private:
  // Each prefix of the model runs once; the streams part at the blocks that they leave out.
  void pass_blocks(const std::set<int64_t>& removed, const std::set<int64_t>& candidates,
                   std::map<int64_t, std::vector<stream::HiddenStates>>& without) {
    const stream::Walk blocks(model_, "choose blocks", progress_);
    if (ids_.size(0) == 0) return;
    stream::HiddenStates prefix = stream::HiddenStates::embed(*model_.load_embedding(), ids_,
                                                              options_.scratch, options_.batch);
    for (stream::LoadedBlock& block : blocks) {
      if (removed.contains(block.number)) continue;
      for (auto& [candidate, hidden] : without) {
        if (!hidden.empty()) hidden.front().advance(*block);
      }
      if (candidates.contains(block.number)) {
        without[block.number].push_back(prefix.copy());
      }
      if (candidates.contains(kWholeModel) || *candidates.rbegin() > block.number) {
        prefix.advance(*block);
      }
    }
    if (candidates.contains(kWholeModel)) without[kWholeModel].push_back(std::move(prefix));
  }

  const models::Model& model_;
  evaluation::PerplexityOptions options_;
  dist::Communicator& comm_;
  Progress& progress_;
  int64_t tokens_ = 0;
  Tensor ids_;
};

/// The blocks with the lowest losses.
std::set<int64_t> cheapest(const std::map<int64_t, double>& losses, int64_t count) {
  std::vector<std::pair<double, int64_t>> sorted;
  for (const auto& [block, loss] : losses) sorted.emplace_back(loss, block);
  std::ranges::sort(sorted);
  std::set<int64_t> blocks;
  for (const auto& [loss, block] : sorted) {
    if (std::ssize(blocks) < count) blocks.insert(block);
  }
  return blocks;
}

}  // namespace

int64_t samples_for_blocks(int64_t samples, int64_t seqlen) {
  return std::clamp<int64_t>(kTokens / seqlen, 1, samples);
}

int64_t blocks_measured_again(int64_t blocks) { return std::max<int64_t>(4, blocks / 8); }

void choose_blocks_(const journal::RunInputs& inputs, const PruneOptions& options, int64_t count,
                    const std::filesystem::path& scratch, report::BlocksReport& report,
                    const std::function<void()>& record, dist::Communicator& comm,
                    Progress& progress) {
  const int64_t blocks = inputs.model.config().blocks;
  BlockTrials trials(inputs, options, scratch, comm, progress);
  report.before = blocks;
  report.tokens = trials.tokens();
  while (std::ssize(report.removed) < count) {
    throw_if_interrupted();
    std::set<int64_t> removed;
    for (const auto& one : report.removed) removed.insert(one.block);
    std::map<int64_t, double> known;  // of the blocks that are still there
    for (const int64_t block : report.kept()) {
      known[block] = removed.empty() ? 0.0 : report.measured.at(static_cast<size_t>(block));
    }
    std::set<int64_t> candidates =
        cheapest(known, removed.empty() ? blocks : blocks_measured_again(blocks));
    if (removed.empty()) candidates.insert(kWholeModel);
    std::map<int64_t, double> losses = trials.losses(removed, candidates);
    if (removed.empty()) {
      report.loss_before = losses.extract(kWholeModel).mapped();
      report.measured.resize(static_cast<size_t>(blocks));
    }
    for (const auto& [block, loss] : losses) report.measured.at(static_cast<size_t>(block)) = loss;
    const int64_t best = *cheapest(losses, 1).begin();
    report.removed.push_back({.block = best, .loss = losses.at(best)});
    record();
    kill_point("after a block is chosen");
  }
}

}  // namespace prune::pipeline
