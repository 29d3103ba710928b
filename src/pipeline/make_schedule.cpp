#include "make_schedule.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/dist/calibrated_steps.h>
#include <prune/evaluation/perplexity.h>
#include <prune/schedule/choose_candidate.h>
#include <prune/stream/walk.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <map>

#include "inputs.h"
#include "sparse_input.h"

namespace prune::pipeline {
namespace {

using schedule::ScheduleKind;

std::vector<schedule::LayerInput> schedule_inputs(const journal::RunInputs& inputs,
                                                  const journal::ModelStatistics& statistics) {
  std::vector<schedule::LayerInput> layers;
  for (int64_t block = 0; block < inputs.model.config().blocks; ++block) {
    for (const models::LinearSpec& spec : inputs.model.linears(block)) {
      const std::string name = inputs.model.block_prefix(block) + spec.name;
      if (!inputs.chosen.contains(name)) continue;
      schedule::LayerInput layer{.name = name,
                                 .block = block,
                                 .weights = spec.rows * spec.cols,
                                 .writes_stream = spec.writes_stream};
      if (const auto found = statistics.layers.find(name); found != statistics.layers.end()) {
        layer.loss = found->second.total;
        layer.energy = found->second.energy;
        layer.energy_after_norm = inputs.model.energy_after_norm(block, spec);
      }
      layers.push_back(std::move(layer));
    }
  }
  return layers;
}

// With 8 x 512 tokens instead of 16 x 512, the trial of SmolLM2-135M at 50 % prefers uniform, which whole runs do
// not.
constexpr int64_t kUsualTrialSamples = 16;

/// The samples that `auto` prunes with, and as many that it measures with.
struct HeldOut {
  Tensor calibration;  // [samples, seqlen]
  Tensor evaluation;
};

HeldOut hold_out(const calibration::TokenSet& tokens) {
  const int64_t part = trial_samples(tokens.samples());
  TORCH_INTERNAL_ASSERT(tokens.samples() >= kFewestForAuto);
  return {tokens.ids.slice(0, 0, part), tokens.ids.slice(0, part, 2 * part)};
}

/// Prunes the layers of one block in memory only.
class TrialSteps : public dist::CalibratedSteps {
 public:
  TrialSteps(const dist::BlockRoute& route, models::Block& block,
             stream::CalibrationStream& calibration, const dist::SampleSplit& split,
             const PruneOptions& options, const models::Model& model,
             const std::map<std::string, double>& sparsity, dist::Communicator& alone,
             Progress& progress)
      : CalibratedSteps(route, block, calibration, split,
                        {.percdamp = options.percdamp, .act_order = options.act_order}, alone,
                        progress),
        solver_(options.solver),
        model_(model),
        sparsity_(sparsity) {
    // SparseGPT whatever the run's solver: with ALPS the four trials would take many times the run itself.
    solver_.solver = solver::Algorithm::kSparseGpt;
    solver_.refine = 0;
  }

  void solve(const dist::SiteRoute&, size_t reader) override {
    models::Linear& layer = begin(reader);
    solver_.sparsity = sparsity_.at(layer.name);
    const at::ScalarType stored = model_.stored_dtype(layer.name);
    layer.weight =
        solver::prune_stored_(layer.weight, factor(), solver_, stored).stored.to(model_.dtype());
  }
  void share(const dist::SiteRoute&, size_t) override {}

 private:
  solver::SolverOptions solver_;
  const models::Model& model_;
  const std::map<std::string, double>& sparsity_;
};

// Mean loss of each held-out sample after pruning the model in memory by this schedule. A raised damp is not an
// error under --strict here, since it is not in the result.
Tensor trial_losses(const Run& run, const HeldOut& samples,
                    const schedule::SparsitySchedule& schedule) {
  const models::Model& model = run.inputs.model;
  std::map<std::string, double> sparsity;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    sparsity[layer.name] = layer.sparsity();
  }
  dist::Communicator alone;
  const stream::Order order = run.options.order;
  const dist::SampleSplit split(samples.calibration.size(0), alone.size(),
                                run.options.deterministic);
  // The stream to be measured passes a block after all of its layers are replaced.
  const stream::Walk blocks(model, "score " + schedule.kind, run.progress,
                            models::ExpertWeights::kResident);
  const auto embed = [&, embedding = model.load_embedding()](const Tensor& ids) {
    return stream::HiddenStates::embed(*embedding, ids, run.journal.scratch(),
                                       samples_at_once(run.options.deterministic));
  };
  stream::CalibrationStream calibration(embed(samples.calibration), model.shape(), order,
                                        run.options.expert_tokens);
  stream::HiddenStates measured = embed(samples.evaluation);
  model.drop_ends();
  for (stream::LoadedBlock& block : blocks) {
    const dist::BlockRoute route = dist::route_through(
        *block, dist::chosen_in(*block, run.inputs.chosen), order, alone.size());
    TrialSteps steps(route, *block, calibration, split, run.options, model, sparsity, alone,
                     run.progress);
    dist::follow(route, alone.rank(), steps);
    if (!block.last) calibration.advance(*block);
    measured.advance(*block);
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

// "uniform 92.24 (+0.95 ± 0.20 %), kmeans 0.15 91.37, ...": with the difference of each to the one asked for.
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

// The candidates in the sequence in which they are tried; kAsked is the one that --spread asks for.
std::array<report::ScheduleScore, 4> candidates_around(double spread) {
  const auto kmeans = [spread](double times) {
    return report::ScheduleScore{.kind = "kmeans", .spread = times * spread};
  };
  return {report::ScheduleScore{.kind = "uniform"}, kmeans(1.0), kmeans(0.5), kmeans(1.5)};
}

schedule::SparsitySchedule tried_schedule(const Run& run,
                                          const std::vector<schedule::LayerInput>& layers,
                                          const journal::ModelStatistics& statistics,
                                          const schedule::ScheduleOptions& options) {
  const HeldOut samples = hold_out(run.inputs.calibration);
  const auto schedule_of = [&](const report::ScheduleScore& candidate) {
    if (candidate.kind == "uniform") return schedule::uniform_schedule(layers, options.target);
    schedule::ScheduleOptions spread = options;
    spread.spread = candidate.spread;
    return schedule::kmeans_schedule(layers, statistics.stream_energy, spread);
  };
  const auto candidates = candidates_around(options.spread);
  while (run.journal.candidates().size() < candidates.size()) {
    const size_t first = run.journal.candidates().size();
    const size_t mine = first + static_cast<size_t>(run.comm.rank());
    Tensor losses = at::empty({0, samples.evaluation.size(0)}, at::kDouble);
    run.comm.enter("score");
    if (mine < candidates.size()) {
      losses = trial_losses(run, samples, schedule_of(candidates[mine])).unsqueeze(0);
    }
    const Tensor all = run.comm.gather(losses);
    for (int64_t i = 0; i < all.size(0); ++i) {
      report::ScheduleScore scored = candidates.at(first + static_cast<size_t>(i));
      const Tensor of_samples = all[i].contiguous();
      scored.losses.assign(of_samples.const_data_ptr<double>(),
                           of_samples.const_data_ptr<double>() + of_samples.numel());
      scored.perplexity = evaluation::perplexity(of_samples);
      run.journal.record_candidate(std::move(scored));
    }
  }
  std::vector<std::vector<double>> losses;
  for (const report::ScheduleScore& c : run.journal.candidates()) losses.push_back(c.losses);
  const report::ScheduleScore& best =
      run.journal.candidates()[schedule::choose_candidate(losses, kAsked)];
  spdlog::info("schedule auto: perplexity on held-out calibration text: {}; takes {}",
               text_of(run.journal.candidates()), text_of(best));
  return schedule_of(best);
}

}  // namespace

int64_t trials(const PruneOptions& options) {
  if (options.solver.prunem != 0 || options.schedule != ScheduleKind::kAuto) return 0;
  return static_cast<int64_t>(candidates_around(options.grouping.spread).size());
}

int64_t trial_samples(int64_t nsamples) {
  return std::min(nsamples / 2, std::max(kUsualTrialSamples, nsamples / 8));
}

bool needs_estimates(const PruneOptions& options) {
  return options.solver.prunem == 0 &&
         (options.schedule == ScheduleKind::kKmeans || options.schedule == ScheduleKind::kOwl ||
          options.schedule == ScheduleKind::kAuto);
}

bool adopts_weights(const PruneOptions& options) {
  return options.schedule == ScheduleKind::kKept && !options.solver.quantization.on();
}

schedule::SparsitySchedule make_schedule(const Run& run,
                                         const journal::ModelStatistics& statistics) {
  const std::vector<schedule::LayerInput> layers = schedule_inputs(run.inputs, statistics);
  schedule::ScheduleOptions options = run.options.grouping;
  options.target = run.options.target;
  // A pattern fixes the sparsity of every layer.
  if (run.options.solver.prunem != 0) return schedule::uniform_schedule(layers, options.target);
  switch (run.options.schedule) {
    case ScheduleKind::kUniform:
      return schedule::uniform_schedule(layers, options.target);
    case ScheduleKind::kKmeans:
      return schedule::kmeans_schedule(layers, statistics.stream_energy, options);
    case ScheduleKind::kAuto:
      return tried_schedule(run, layers, statistics, options);
    case ScheduleKind::kOwl:
      if (statistics.outliers.empty()) {
        throw_json_error("outliers",
                         "is empty in --stats: only a run with --schedule owl estimates them");
      }
      return schedule::owl_schedule(layers, statistics.outliers, options);
    case ScheduleKind::kDepth:
      return schedule::depth_schedule(layers, options);
    case ScheduleKind::kKept: {
      std::vector<int64_t> zeros;
      for (const schedule::LayerInput& layer : layers) {
        zeros.push_back(zeros_of(run.inputs.model, layer.name));
      }
      return schedule::kept_schedule(layers, zeros);
    }
    case ScheduleKind::kFile:
      break;
  }
  return schedule::read_schedule(run.options.schedule_file, layers);
}

}  // namespace prune::pipeline
