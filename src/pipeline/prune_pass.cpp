#include "prune_pass.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/kill_point.h>
#include <prune/core/stopwatch.h>
#include <prune/dist/calibrated_steps.h>
#include <prune/journal/layer_writer.h>
#include <prune/loss/curve.h>
#include <prune/stream/walk.h>

#include <algorithm>
#include <map>
#include <set>

namespace prune::pipeline {
namespace {

/// What a rank knows of a layer that it pruned.
struct PrunedLayer {
  solver::StoredResult pruned;
  report::LayerReport report;
};

/// Prunes the layers of one block and writes them.
class PruneSteps : public dist::CalibratedSteps {
 public:
  PruneSteps(const Run& run, const dist::BlockRoute& route, models::Block& block,
             stream::CalibrationStream& calibration, const dist::SampleSplit& split,
             const std::map<std::string, schedule::LayerSparsity>& asked,
             const journal::ModelStatistics& statistics, journal::LayerWriter& writer)
      : CalibratedSteps(route, block, calibration, split,
                        {.percdamp = run.options.percdamp, .act_order = run.options.act_order},
                        run.comm, run.progress),
        run_(run),
        asked_(asked),
        statistics_(statistics),
        writer_(writer) {}

  void solve(const dist::SiteRoute&, size_t reader) override {
    models::Linear& layer = begin(reader);
    PrunedLayer& done = done_[reader];
    done = prune(layer);
    if (run_.comm.size() == 1) settle(reader);
  }

  void share(const dist::SiteRoute& site, size_t reader) override {
    if (run_.comm.size() == 1) return;
    kill_point("before a pruned layer is shared");
    share_(done_[reader], block().linears()[reader], site.owner);
    settle(reader);
  }

 private:
  std::optional<int64_t> tokens_of(const models::Linear& layer) const {
    if (layer.expert < 0) return std::nullopt;
    return static_cast<int64_t>(load().tokens[layer.expert].item<double>());
  }

  void note_idle_expert(const models::Linear& layer) const {
    if (layer.expert < 0 || tokens_of(layer) != 0) return;
    if (run_.options.expert_tokens == stream::ExpertTokens::kAll) return;
    // By its first layer, so that a resumed run says the same.
    const auto first = std::ranges::find(block().linears(), layer.expert, &models::Linear::expert);
    run_.journal.add_fallback(
        {.where = first->name,
         .what = "no calibration token reaches this expert; it is pruned with tokens of others"});
  }

  PrunedLayer prune(models::Linear& layer) const {
    const Stopwatch watch;
    const schedule::LayerSparsity& asked = asked_.at(layer.name);
    const models::Model& model = run_.inputs.model;
    solver::SolverOptions options = run_.options.solver;
    options.sparsity = asked.sparsity();
    const Tensor zero_before = layer.weight.eq(0);
    PrunedLayer done;
    try {
      done.pruned =
          solver::prune_stored_(layer.weight, factor(), options, model.stored_dtype(layer.name));
    } catch (Error& error) {
      if (error.kind() == ErrorKind::kNumeric) error.in(layer.name);
      throw;
    }
    // What the stream passes through is what the output will hold.
    layer.weight = done.pruned.stored.to(model.dtype());
    done.pruned = to_host(std::move(done.pruned));
    const solver::PruneResult& result = done.pruned.result;
    done.report = {
        .name = layer.name,
        .rows = layer.weight.size(0),
        .cols = layer.weight.size(1),
        .group = asked.group,
        .sparsity_asked = asked.sparsity(),
        .zeros_before = zero_before.sum().item<int64_t>(),
        .zeros_freed = zero_before.logical_and(layer.weight.ne(0)).sum().item<int64_t>(),
        .zeros = done.pruned.zeros,
        .rounded_to_zero = options.quantization.on() ? done.pruned.zeros - result.zeros : 0,
        .loss_estimated = std::nullopt,
        .energy = std::nullopt,
        .tokens = tokens_of(layer),
        .loss_measured = result.loss,
        .loss_rounding = result.loss_rounding,
        .damp_used = factor().damp,
        .damp_raises = factor().damp_raises,
        .admm_steps = result.admm_steps,
        .refine_steps = result.refine_steps,
        .refine_residual = result.refine_residual,
        .sha256 = "",
        .elapsed_s = 0.0};
    if (const auto found = statistics_.layers.find(layer.name); found != statistics_.layers.end()) {
      done.report.loss_estimated = loss::loss_at(found->second, asked.sparsity());
      done.report.energy = found->second.energy;
    }
    done.report.elapsed_s = watch.elapsed_s();
    return done;
  }

  // What the owner pruned, on all ranks: their streams pass through it, and rank 0 writes it.
  void share_(PrunedLayer& done, models::Linear& layer, int64_t owner) const {
    const models::Model& model = run_.inputs.model;
    const at::ScalarType stored = model.stored_dtype(layer.name);
    const at::IntArrayRef shape = layer.weight.sizes();
    const auto on_all = [&](Tensor& tensor, at::IntArrayRef sizes, at::ScalarType dtype) {
      tensor = shared_weight(tensor, sizes, dtype, owner, model.device(), run_.comm);
    };
    const bool mine = owner == run_.comm.rank();
    const Quantization& quantization = run_.options.solver.quantization;
    if (quantization.on()) {
      QuantizedWeight& codes = done.pruned.codes;
      const int64_t groups = quantization.groups(shape[1]);
      on_all(codes.codes, shape, at::kChar);
      on_all(codes.scale, {shape[0], groups}, stored);
      on_all(codes.zero, {shape[0], groups}, at::kChar);
      if (!mine) done.pruned.stored = dequantize(codes);
    } else {
      on_all(done.pruned.stored, shape, stored);
    }
    const std::string report =
        run_.comm.broadcast(mine ? json_text(to_json(done.report), -1) : "", owner);
    if (mine) return;
    done.report = report::layer_report(parse_json(report));
    layer.weight = done.pruned.stored.to(model.device(), model.dtype());
  }

  // Reports a layer that all ranks know, and hands it to the writer.
  void settle(size_t reader) {
    PrunedLayer done = std::move(done_.extract(reader).mapped());
    note_idle_expert(block().linears()[reader]);
    if (done.report.damp_raises > 0) {
      run_.journal.add_fallback(
          {.where = done.report.name,
           .what = damp_text(done.report.damp_raises, done.report.damp_used)});
    }
    if (run_.journal.writes()) writer_.add(std::move(done.pruned), std::move(done.report));
  }

  static solver::StoredResult to_host(solver::StoredResult pruned) {
    pruned.stored = prune::to_host(pruned.stored);
    for (Tensor* part : {&pruned.codes.codes, &pruned.codes.scale, &pruned.codes.zero}) {
      if (part->defined()) *part = part->cpu();
    }
    return pruned;
  }

  const Run& run_;
  const std::map<std::string, schedule::LayerSparsity>& asked_;
  const journal::ModelStatistics& statistics_;
  journal::LayerWriter& writer_;
  std::map<size_t, PrunedLayer> done_;  // solved here or shared, not yet settled
};

}  // namespace

void prune_pass(const Run& run, const schedule::SparsitySchedule& schedule,
                const journal::ModelStatistics& statistics) {
  const models::Model& model = run.inputs.model;
  std::map<std::string, schedule::LayerSparsity> asked;
  std::set<std::string> unfinished;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    asked[layer.name] = layer;
    if (!run.journal.has(layer.name)) unfinished.insert(layer.name);
  }
  if (unfinished.empty()) return;
  const stream::Order order = run.options.order;
  const dist::SampleSplit split = run.split(run.inputs.calibration.samples());
  const stream::Walk blocks(model, "prune", run.progress);
  stream::CalibrationStream calibration(embed_share(run, split), model.shape(), order,
                                        run.options.expert_tokens);
  journal::LayerWriter writer(run.journal);
  for (stream::LoadedBlock& block : blocks) {
    const dist::BlockRoute route =
        dist::route_through(*block, dist::chosen_in(*block, unfinished), order, run.comm.size());
    PruneSteps steps(run, route, *block, calibration, split, asked, statistics, writer);
    // Finished layers enter when an uninterrupted run would have pruned them: before the layers after them are
    // reached, or, if all Hessians come first, once those are there.
    if (order == stream::Order::kSequential) {
      run.journal.restore_(*block, model);
      block->on_load([&](models::Linear& layer) { run.journal.restore_(layer, model); });
    }
    dist::follow(route, run.comm.rank(), steps);
    if (order == stream::Order::kBlock) run.journal.restore_(*block, model);
    if (!block.last) calibration.advance(*block);
  }
  writer.finish();
}

void adopt_pass(const Run& run, const schedule::SparsitySchedule& schedule) {
  journal::LayerWriter writer(run.journal);
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    if (run.journal.has(layer.name) || !run.journal.writes()) continue;
    const models::Model& model = run.inputs.model;
    const Tensor weight = model.stored_weight(layer.name);
    writer.add({.stored = weight, .zeros = layer.zeros}, {.name = layer.name,
                                                          .rows = weight.size(0),
                                                          .cols = weight.size(1),
                                                          .group = layer.group,
                                                          .sparsity_asked = layer.sparsity(),
                                                          .zeros_before = layer.zeros,
                                                          .zeros = layer.zeros,
                                                          .sha256 = ""});
    model.checkpoint().drop(model.stored(layer.name).name);
  }
  writer.finish();
}

}  // namespace prune::pipeline
