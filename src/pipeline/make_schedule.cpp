#include "make_schedule.h"

#include <prune/core/interrupt.h>
#include <prune/schedule/choose_candidate.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "calibration_stream.h"
#include "prune_layer.h"

namespace prune::pipeline {
namespace {

std::vector<schedule::LayerInput> schedule_inputs(const models::Model& model,
                                                  const std::set<std::string>& chosen,
                                                  const ModelStatistics& statistics) {
  std::vector<schedule::LayerInput> inputs;
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    for (const models::LinearSpec& spec : model.linears()) {
      const std::string name = model.block_prefix(block) + spec.name;
      if (!chosen.contains(name)) continue;
      schedule::LayerInput input{.name = name,
                                 .block = block,
                                 .weights = spec.rows * spec.cols,
                                 .writes_stream = spec.writes_stream};
      if (const auto found = statistics.layers.find(name); found != statistics.layers.end()) {
        input.loss = found->second.total;
        input.energy = found->second.energy;
      }
      inputs.push_back(std::move(input));
    }
  }
  return inputs;
}

schedule::SparsitySchedule schedule_of_kind(const std::string& kind,
                                            const std::vector<schedule::LayerInput>& layers,
                                            const ModelStatistics& statistics,
                                            const schedule::ScheduleOptions& rule) {
  constexpr std::string_view kFile = "file:";
  if (kind.starts_with(kFile)) return schedule::read_schedule(kind.substr(kFile.size()), layers);
  if (kind == "kmeans") {
    return schedule::kmeans_schedule(layers, statistics.stream_energy, rule);
  }
  if (kind == "owl") return schedule::owl_schedule(layers, statistics.outliers, rule);
  if (kind == "depth") return schedule::depth_schedule(layers, rule);
  return schedule::uniform_schedule(layers, rule.target);
}

// With 8 x 512 tokens in place of 16 x 512 the trial of SmolLM2-135M at 50 % prefers uniform, which the whole run
// does not.
constexpr int64_t kUsualTrialSamples = 16;

// The samples that `auto` prunes with, and as many that it measures with.
struct HeldOut {
  Tensor calibration;  // [samples, seqlen]
  Tensor evaluation;
};

HeldOut hold_out(const calibration::TokenSet& tokens) {
  const int64_t part = trial_samples(tokens.samples());
  TORCH_INTERNAL_ASSERT(tokens.samples() >= kFewestForAuto);
  return {tokens.ids.slice(0, 0, part), tokens.ids.slice(0, part, 2 * part)};
}

// Loss of each held-out sample after pruning the model in memory by this schedule, by SparseGPT whatever the
// solver of the run: ALPS would take many times the run's own time for the four of them.
Tensor score(const Inputs& inputs, const HeldOut& samples,
             const schedule::SparsitySchedule& schedule, const PruneOptions& options,
             const std::filesystem::path& scratch, Progress& progress) {
  const models::Model& model = inputs.model;
  std::map<std::string, double> sparsity;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    sparsity[layer.name] = layer.sparsity();
  }
  progress.begin("score " + schedule.kind, model.config().blocks);
  solver::SolverOptions how = options.solver;
  how.solver = solver::Algorithm::kSparseGpt;
  how.refine = 0;
  // A damp that is raised here is not in the result, so --strict does not mind it.
  const FactorOptions factoring{.percdamp = options.percdamp, .act_order = options.act_order};
  std::vector<report::Fallback> fallbacks;
  dist::Communicator alone;
  const dist::SampleSplit split(samples.calibration.size(0), alone.size(), options.deterministic);

  const auto embedding = model.load_embedding();
  const int64_t batch = samples_at_once(options.deterministic);
  CalibrationStream pruning(
      stream::HiddenStates::embed(*embedding, samples.calibration, scratch, batch), model.linears(),
      options.order);
  auto measured = stream::HiddenStates::embed(*embedding, samples.evaluation, scratch, batch);
  model.drop_ends();
  for (int64_t b = 0; b < model.config().blocks; ++b) {
    throw_if_interrupted();
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    BlockStatistics statistics(*block, inputs.chosen, model.device(), split, alone);
    const auto prune_ = [&](models::Linear& layer, const hessian::HessianFactor& factor) {
      how.sparsity = sparsity.at(layer.name);
      prune_layer_(layer, factor, how, model);
    };
    pruning.calibrate(*block, statistics, [&](const std::vector<int64_t>& ready) {
      for_each_factored_layer(*block, statistics, ready, inputs.chosen, factoring, fallbacks, alone,
                              progress, prune_);
    });
    if (b + 1 < model.config().blocks) pruning.advance(*block);
    measured.advance(*block);
    model.drop_block(b);
    progress.advance();
  }
  Tensor losses = evaluation::segment_losses(*model.load_head(), measured, samples.evaluation, {});
  model.drop_ends();
  return losses;
}

std::string text_of(const report::ScheduleScore& candidate) {
  return candidate.kind == "uniform" ? fmt::format("uniform {:.2f}", candidate.perplexity)
                                     : fmt::format("{} {:g} {:.2f}", candidate.kind,
                                                   candidate.spread, candidate.perplexity);
}

constexpr size_t kAsked = 1;

// "uniform 92.24 (+0.95 ± 0.20 %), kmeans 0.15 91.37, ...": with the difference of each to the one that was asked for.
std::string text_of(const std::vector<report::ScheduleScore>& candidates) {
  std::string text;
  for (size_t i = 0; i < candidates.size(); ++i) {
    text += (i == 0 ? "" : ", ") + text_of(candidates[i]);
    if (i == kAsked) continue;
    const schedule::LossDifference off =
        schedule::loss_difference(candidates[i].losses, candidates[kAsked].losses);
    text += fmt::format(" ({:+.2f} ± {:.2f} %)", 100 * off.mean, 100 * off.standard_error);
  }
  return text;
}

schedule::SparsitySchedule tried_schedule(const Inputs& inputs, const ModelStatistics& statistics,
                                          const std::vector<schedule::LayerInput>& layers,
                                          const schedule::ScheduleOptions& rule,
                                          const PruneOptions& options, Journal& journal,
                                          report::RunReport& report, dist::Communicator& comm,
                                          Progress& progress) {
  const HeldOut samples = hold_out(inputs.tokens);
  const auto candidate = [&](const report::ScheduleScore& which) {
    schedule::ScheduleOptions spread = rule;
    spread.spread = which.spread;
    return schedule_of_kind(which.kind, layers, statistics, spread);
  };
  const auto kmeans = [&](double times) {
    return report::ScheduleScore{.kind = "kmeans", .spread = times * rule.spread};
  };
  const std::array<report::ScheduleScore, kTrials> candidates = {
      report::ScheduleScore{.kind = "uniform"}, kmeans(1.0), kmeans(0.5), kmeans(1.5)};
  while (report.candidates.size() < candidates.size()) {
    const size_t first = report.candidates.size();
    const size_t mine = first + static_cast<size_t>(comm.rank());
    Tensor losses = at::empty({0, samples.evaluation.size(0)}, at::kDouble);
    comm.enter("score");
    if (mine < candidates.size()) {
      losses =
          score(inputs, samples, candidate(candidates[mine]), options, journal.scratch(), progress)
              .unsqueeze(0);
    }
    const Tensor all = comm.gather(losses);
    for (int64_t i = 0; i < all.size(0); ++i) {
      report::ScheduleScore scored = candidates.at(first + static_cast<size_t>(i));
      const Tensor of_samples = all[i].contiguous();
      scored.losses.assign(of_samples.const_data_ptr<double>(),
                           of_samples.const_data_ptr<double>() + of_samples.numel());
      scored.perplexity = evaluation::perplexity(of_samples);
      report.candidates.push_back(std::move(scored));
    }
    journal.record();
  }
  std::vector<std::vector<double>> losses;
  for (const report::ScheduleScore& c : report.candidates) losses.push_back(c.losses);
  const report::ScheduleScore& taken =
      report.candidates[schedule::choose_candidate(losses, kAsked)];
  spdlog::info("schedule auto: perplexity on held-out calibration text: {}; takes {}",
               text_of(report.candidates), text_of(taken));
  return candidate(taken);
}

}  // namespace

bool needs_trials(const PruneOptions& options) {
  return options.solver.prunem == 0 && options.schedule == "auto";
}

int64_t trial_samples(int64_t nsamples) {
  return std::min(nsamples / 2, std::max(kUsualTrialSamples, nsamples / 8));
}

bool needs_estimates(const PruneOptions& options) {
  return options.solver.prunem == 0 &&
         (options.schedule == "kmeans" || options.schedule == "owl" || options.schedule == "auto");
}

schedule::SparsitySchedule make_schedule(const Inputs& inputs, const ModelStatistics& statistics,
                                         const PruneOptions& options, Journal& journal,
                                         report::RunReport& report, dist::Communicator& comm,
                                         Progress& progress) {
  const std::vector<schedule::LayerInput> layers =
      schedule_inputs(inputs.model, inputs.chosen, statistics);
  schedule::ScheduleOptions rule = options.rule;
  rule.target = options.target;
  if (options.solver.prunem != 0) return schedule::uniform_schedule(layers, rule.target);
  if (needs_trials(options)) {
    return tried_schedule(inputs, statistics, layers, rule, options, journal, report, comm,
                          progress);
  }
  return schedule_of_kind(options.schedule, layers, statistics, rule);
}

}  // namespace prune::pipeline
