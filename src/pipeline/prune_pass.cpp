#include "prune_pass.h"

#include <prune/core/interrupt.h>
#include <prune/core/json_file.h>
#include <prune/core/kill_point.h>
#include <prune/stream/hidden_states.h>

#include <algorithm>
#include <cmath>

#include "calibration_stream.h"
#include "layer_writer.h"
#include "stopwatch.h"

namespace prune::pipeline {
namespace {

std::optional<double> loss_at(const ModelStatistics& statistics, const std::string& layer,
                              double sparsity) {
  const auto found = statistics.layers.find(layer);
  if (found == statistics.layers.end()) return std::nullopt;
  const double position = sparsity * (loss::kQuantiles - 1);
  const auto below = std::min(static_cast<size_t>(position), loss::kQuantiles - 2);
  const auto& curve = found->second.cumulative;
  return std::lerp(curve[below], curve[below + 1], position - static_cast<double>(below));
}

Outcome prune(models::Linear& layer, const hessian::HessianFactor& factor,
              const schedule::LayerSparsity& asked, const ModelStatistics& statistics,
              const PruneOptions& options, const models::Model& model) {
  const Stopwatch watch;
  solver::SolverOptions how = options.solver;
  how.sparsity = asked.sparsity();
  PrunedLayer pruned = prune_layer_(layer, factor, how, model);
  const Tensor& stored = pruned.stored;
  const solver::PruneResult& result = pruned.result;
  report::LayerReport report = {
      .name = layer.name,
      .rows = stored.size(0),
      .cols = stored.size(1),
      .group = asked.group,
      .sparsity_asked = asked.sparsity(),
      .zeros = pruned.zeros,
      .rounded_to_zero = how.quantization.on() ? pruned.zeros - result.zeros : 0,
      .loss_estimated = loss_at(statistics, layer.name, asked.sparsity()),
      .energy = std::nullopt,
      .loss_measured = result.loss,
      .loss_rounding = result.loss_rounding,
      .damp_used = factor.damp,
      .admm_steps = result.admm_steps,
      .refine_steps = result.refine_steps,
      .refine_residual = result.refine_residual,
      .sha256 = "",
      .elapsed_s = watch.elapsed_s()};
  if (report.loss_estimated) report.energy = statistics.layers.at(layer.name).energy;
  return {std::move(pruned), std::move(report)};
}

// The owner's tensor to all ranks, by way of their devices.
void share_(Tensor& tensor, at::IntArrayRef shape, at::ScalarType dtype, int64_t owner,
            const models::Model& model, dist::Communicator& comm) {
  Tensor moved = owner == comm.rank() ? tensor.to(model.device()).contiguous()
                                      : at::empty(shape, at::dtype(dtype).device(model.device()));
  comm.broadcast_(moved, owner, dist::Traffic::kWeights);
  if (owner != comm.rank()) tensor = moved.cpu();
}

// What the owner pruned, to all ranks: their stream goes through it, and rank 0 writes it.
void share_(Outcome& outcome, models::Linear& layer, int64_t owner, const PruneOptions& options,
            const models::Model& model, dist::Communicator& comm) {
  const bool mine = owner == comm.rank();
  const Quantization& quantization = options.solver.quantization;
  Tensor& stored = outcome.pruned.stored;
  QuantizedWeight& codes = outcome.pruned.codes;
  const at::IntArrayRef shape = layer.weight.sizes();
  if (quantization.on()) {
    const int64_t groups = shape[1] / quantization.columns_of_group(shape[1]);
    share_(codes.codes, shape, at::kChar, owner, model, comm);
    share_(codes.scale, {shape[0], groups}, model.stored_dtype(), owner, model, comm);
    share_(codes.zero, {shape[0], groups}, at::kChar, owner, model, comm);
    if (!mine) stored = dequantize(codes);
  } else {
    share_(stored, shape, model.stored_dtype(), owner, model, comm);
  }
  const std::string report =
      comm.broadcast(mine ? json_text(to_json(outcome.report), -1) : "", owner);
  if (mine) return;
  outcome.report = report::layer_report(parse_json(report));
  layer.weight = stored.to(model.device(), model.dtype());
}

// Prunes the layers of a block that are in `unfinished` and read these inputs: on rank 0 each is written as
// soon as it is there.
void prune_layers_(models::Block& block, BlockStatistics& statistics,
                   const std::vector<int64_t>& inputs, const std::set<std::string>& unfinished,
                   const std::map<std::string, schedule::LayerSparsity>& asked,
                   const ModelStatistics& estimates, const models::Model& model,
                   const PruneOptions& options, const Journal& journal, LayerWriter& writer,
                   std::vector<report::Fallback>& fallbacks, dist::Communicator& comm,
                   Progress& progress) {
  std::map<std::string, Outcome> outcomes;
  for_each_factored_layer(
      block, statistics, inputs, unfinished,
      {.percdamp = options.percdamp, .act_order = options.act_order, .strict = options.strict},
      fallbacks, comm, progress, [&](models::Linear& layer, const hessian::HessianFactor& factor) {
        Outcome outcome = prune(layer, factor, asked.at(layer.name), estimates, options, model);
        if (comm.size() > 1) outcomes[layer.name] = outcome;
        if (journal.writes()) writer.add(std::move(outcome));
      });
  if (comm.size() == 1) return;
  for (models::Linear& layer : block.linears()) {
    if (!unfinished.contains(layer.name)) continue;
    if (std::ranges::find(inputs, layer.site) == inputs.end()) continue;
    const int64_t owner = statistics.owner(layer.site);
    Outcome outcome = std::move(outcomes[layer.name]);
    kill_point("before a pruned layer is shared");
    share_(outcome, layer, owner, options, model, comm);
    if (journal.writes() && owner != comm.rank()) writer.add(std::move(outcome));
  }
}

}  // namespace

void prune_pass(const Inputs& inputs, const schedule::SparsitySchedule& schedule,
                const ModelStatistics& statistics, const PruneOptions& options, Journal& journal,
                report::RunReport& report, dist::Communicator& comm, Progress& progress) {
  const models::Model& model = inputs.model;
  const int64_t blocks = model.config().blocks;
  std::map<std::string, schedule::LayerSparsity> asked;
  std::set<std::string> unfinished;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    asked[layer.name] = layer;
    if (!journal.has(layer.name)) unfinished.insert(layer.name);
  }
  if (unfinished.empty()) return;
  const dist::SampleSplit split = sample_split(inputs.tokens.samples(), options, comm);
  progress.begin("prune", blocks);
  CalibrationStream stream(embed_share(inputs, split, options, journal.scratch(), comm),
                           model.linears(), options.order);
  LayerWriter writer(journal, report);
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    comm.enter(fmt::format("prune block {}/{}", b + 1, blocks));
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    BlockStatistics block_statistics(*block, unfinished, model.device(), split, comm);
    // What a dead process finished stands for what would be pruned again to the same bytes: by the time
    // that something behind it is looked at, or of all the block once its Hessians are there.
    if (options.order == Order::kSequential) journal.restore_(*block, model);
    stream.calibrate(*block, block_statistics, [&](const std::vector<int64_t>& ready) {
      prune_layers_(*block, block_statistics, ready, unfinished, asked, statistics, model, options,
                    journal, writer, report.fallbacks, comm, progress);
    });
    if (options.order == Order::kBlock) journal.restore_(*block, model);
    if (b + 1 < blocks) stream.advance(*block);
    model.drop_block(b);
    progress.advance();
  }
  writer.finish();
  // Rank 0 has its own layers of a block first.
  std::ranges::stable_sort(report.layers, {}, [&](const report::LayerReport& layer) {
    return std::ranges::find(schedule.layers, layer.name, &schedule::LayerSparsity::name);
  });
}

}  // namespace prune::pipeline
