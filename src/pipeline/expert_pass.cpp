#include "expert_pass.h"

#include <prune/core/error.h>
#include <prune/dist/sample_split.h>
#include <prune/models/block_sites.h>
#include <prune/recovery/timetable.h>
#include <prune/stream/expert_forward.h>
#include <prune/stream/walk.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "inputs.h"
#include "run.h"

namespace prune::pipeline {
namespace {

constexpr double kUnits = 0x1p16;  // per 1 of |gate · output|

/// Sums |gate · output| and counts the tokens of each expert.
class ExpertScores : public models::BlockObserver {
 public:
  explicit ExpertScores(int64_t experts) : sums_(at::zeros({experts, 2}, at::kDouble)) {}

  void on_site(int64_t, const Tensor&) override {}
  void on_expert_site(int64_t, const models::ExpertRows& rows) override { gate_ = rows.gate; }
  void on_output(const models::Linear& layer, const Tensor& y) override {
    if (layer.expert < 0 || layer.site != models::last_site_of(layer.expert)) return;
    const Tensor norms = at::linalg_vector_norm(y, 2, {-1}, false, at::kFloat);
    // In whole units, so that the sum is the same however tokens are spread over ranks.
    const Tensor sum =
        (norms * gate_.to(at::kFloat).abs()).to(at::kDouble).mul(kUnits).round().sum();
    sums_[layer.expert].add_(
        at::tensor({sum.item<double>(), static_cast<double>(y.size(0))}, at::kDouble));
  }

  /// [experts, 2]: sums and tokens
  const Tensor& sums() const { return sums_; }

 private:
  Tensor sums_;
  Tensor gate_;  // of the rows that are in the expert
};

// How many experts of a block stay.
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

// The last samples, which measure the choice of the others; none if each rank would not have one to score.
int64_t samples_to_hold_out(const journal::RunInputs& inputs, const dist::Communicator& comm) {
  const int64_t samples = inputs.calibration.samples();
  if (!inputs.model.has_head() || inputs.calibration.seqlen() < 2) return 0;
  return std::min(recovery::held_out_samples(samples), samples - comm.size());
}

report::ExpertsReport score_experts(const journal::RunInputs& inputs, const PruneOptions& options,
                                    const dist::SampleSplit& split,
                                    const std::filesystem::path& scratch, dist::Communicator& comm,
                                    Progress& progress) {
  const models::Model& model = inputs.model;
  report::ExpertsReport report{.removed_fraction = options.experts};
  const stream::Walk blocks(model, "score experts", progress);
  stream::HiddenStates hidden = embed_share(inputs, options, split, comm.rank(), scratch);
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
  return report;
}

/// Perplexity on the calibration samples that score no experts.
double held_out_perplexity(const journal::RunInputs& inputs, int64_t samples,
                           const PruneOptions& options, const std::filesystem::path& scratch,
                           dist::Communicator& comm, Progress& progress) {
  calibration::TokenSet measured = inputs.calibration;
  measured.ids = measured.ids.slice(0, inputs.calibration.samples() - samples);
  return shared_perplexity(inputs.model, measured,
                           perplexity_options({}, scratch, options.deterministic), comm, progress)
      .perplexity;
}

}  // namespace

bool fits(const report::ExpertsReport& chosen, const models::ModelShape& shape, double removed) {
  const models::ModelShape smaller = with_fewer_experts(shape, removed);
  if (std::ssize(chosen.blocks) != shape.config.blocks) return false;
  for (int64_t block = 0; block < shape.config.blocks; ++block) {
    const std::vector<int64_t>& kept = chosen.blocks[static_cast<size_t>(block)].kept;
    if (std::ssize(kept) != smaller.block(block).experts()) return false;
    if (kept.empty()) continue;
    const bool exist = kept.front() >= 0 && kept.back() < shape.block(block).experts();
    const bool ascend = std::ranges::adjacent_find(kept, std::greater_equal<>()) == kept.end();
    if (!exist || !ascend) return false;
  }
  return true;
}

models::ModelShape with_fewer_experts(const models::ModelShape& shape, double removed) {
  if (!shape.has_experts()) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--experts: model_type '{}' has none", shape.config.model_type));
  }
  int64_t left = 0;
  for (const models::BlockSpec& kind : shape.kinds) {
    if (kind.moe) left = experts_left(kind.moe->router, removed);
  }
  return models::with_experts(shape, left);
}

report::ExpertsReport choose_experts(const journal::RunInputs& inputs, const PruneOptions& options,
                                     const std::filesystem::path& scratch, dist::Communicator& comm,
                                     Progress& progress) {
  const int64_t samples = inputs.calibration.samples();
  const int64_t held_out = samples_to_hold_out(inputs, comm);
  const dist::SampleSplit scored(samples - held_out, comm.size(), options.deterministic);
  report::ExpertsReport report = score_experts(inputs, options, scored, scratch, comm, progress);
  if (held_out > 0) {
    report.held_out = {.samples = held_out,
                       .perplexity_before =
                           held_out_perplexity(inputs, held_out, options, scratch, comm, progress)};
  }
  return report;
}

void measure_experts_(report::ExpertsReport& report, const journal::RunInputs& smaller,
                      const PruneOptions& options, const std::filesystem::path& scratch,
                      dist::Communicator& comm, Progress& progress) {
  if (!report.held_out) return;
  report.held_out->perplexity_after =
      held_out_perplexity(smaller, report.held_out->samples, options, scratch, comm, progress);
}

}  // namespace prune::pipeline
