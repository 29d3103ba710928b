#include "expert_pass.h"

#include <prune/core/error.h>
#include <prune/dist/sample_split.h>
#include <prune/models/block_sites.h>
#include <prune/stream/expert_forward.h>
#include <prune/stream/walk.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "run.h"

namespace prune::pipeline {
namespace {

constexpr double kUnits = 0x1p16;  // per 1 of gate · |output|

/// Sums gate · |output| and counts the tokens of each expert.
class ExpertScores : public models::BlockObserver {
 public:
  explicit ExpertScores(int64_t experts) : sums_(at::zeros({experts, 2}, at::kDouble)) {}

  void on_site(int64_t, const Tensor&) override {}
  void on_expert_site(int64_t, const models::ExpertRows& rows) override { gate_ = rows.gate; }
  void on_output(const models::Linear& layer, const Tensor& y) override {
    if (layer.expert < 0 || !layer.writes_stream) return;
    const Tensor norms = at::linalg_vector_norm(y, 2, {-1}, false, at::kFloat);
    // In whole units, so that the sum is the same however tokens are spread over ranks.
    const Tensor sum = (norms * gate_.to(at::kFloat)).to(at::kDouble).mul(kUnits).round().sum();
    sums_[layer.expert].add_(
        at::tensor({sum.item<double>(), static_cast<double>(y.size(0))}, at::kDouble));
  }

  /// [experts, 2]: sums and tokens
  const Tensor& sums() const { return sums_; }

 private:
  Tensor sums_;
  Tensor gate_;  // of the rows that are in the expert
};

// The numbers of the experts with the highest scores, ascending, as many of each group.
std::vector<int64_t> best_experts(const std::vector<double>& scores, int64_t groups, int64_t left) {
  std::vector<int64_t> kept;
  const int64_t of_group = std::ssize(scores) / groups;
  for (int64_t group = 0; group < groups; ++group) {
    std::vector<int64_t> numbers(static_cast<size_t>(of_group));
    std::iota(numbers.begin(), numbers.end(), group * of_group);
    std::ranges::stable_sort(numbers, std::greater<>(),
                             [&](int64_t number) { return scores[static_cast<size_t>(number)]; });
    kept.insert(kept.end(), numbers.begin(), numbers.begin() + left / groups);
  }
  std::ranges::sort(kept);
  return kept;
}

}  // namespace

int64_t experts_left(const models::RouterSpec& router, double removed) {
  const auto of_group = static_cast<double>(router.experts / router.groups);
  const auto left = router.groups * static_cast<int64_t>(std::ceil(of_group * (1.0 - removed)));
  const int64_t of_chosen_groups = left / router.groups * router.groups_chosen;
  if (of_chosen_groups >= router.chosen) return left;
  throw Error(ErrorKind::kUsage,
              fmt::format("--experts {:g} leaves {} of {} experts to choose from, but a token "
                          "needs {}",
                          removed, of_chosen_groups, router.experts, router.chosen));
}

report::ExpertsReport choose_experts(const journal::RunInputs& inputs, const PruneOptions& options,
                                     dist::Communicator& comm, Progress& progress) {
  const models::Model& model = inputs.model;
  if (!model.shape().has_experts()) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--experts: model_type '{}' has none", model.config().model_type));
  }
  for (const models::BlockSpec& kind : model.shape().kinds) {
    if (kind.moe) experts_left(kind.moe->router, options.experts);
  }
  report::ExpertsReport report{.removed_fraction = options.experts};
  const dist::SampleSplit split(inputs.calibration.samples(), comm.size(), options.deterministic);
  const stream::Walk blocks(model, "score experts", progress);
  stream::HiddenStates hidden =
      embed_share(inputs, options, split, comm.rank(), std::filesystem::temp_directory_path());
  for (stream::LoadedBlock& block : blocks) {
    report::ExpertsReport::Block& found = report.blocks.emplace_back();
    if (block->experts() == 0) {
      hidden.advance(*block);
      continue;
    }
    ExpertScores scores(block->experts());
    hidden.advance(*block, &scores);
    const Tensor sums = comm.gather(scores.sums().unsqueeze(0)).sum(0);
    for (int64_t expert = 0; expert < block->experts(); ++expert) {
      const double tokens = sums[expert][1].item<double>();
      found.tokens.push_back(static_cast<int64_t>(tokens));
      found.scores.push_back(tokens > 0 ? sums[expert][0].item<double>() / kUnits / tokens : 0.0);
    }
    const models::RouterSpec& router = model.shape().block(block.number).moe->router;
    found.kept = best_experts(found.scores, router.groups, experts_left(router, options.experts));
  }
  spdlog::info("{}", report::experts_line(report));
  return report;
}

}  // namespace prune::pipeline
