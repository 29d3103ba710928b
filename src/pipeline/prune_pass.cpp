#include "prune_pass.h"

#include <prune/core/interrupt.h>
#include <prune/models/hidden_states.h>

#include <cmath>

#include "calibrate_block.h"
#include "prune_layer.h"
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

// Prunes one layer and writes it.
report::LayerReport write_pruned(models::Linear& layer, const hessian::HessianFactor& factor,
                                 const schedule::LayerSparsity& asked, const PruneOptions& options,
                                 const models::Model& model, Journal& journal) {
  const Stopwatch watch;
  solver::SolverOptions how = options.solver;
  how.sparsity = asked.sparsity();
  const PrunedLayer pruned = prune_layer_(layer, factor, how, model);
  const std::string sha256 = journal.form().write(journal.writer(), layer.name, pruned);
  const auto& [stored, codes, result] = pruned;
  const int64_t zeros = stored.numel() - stored.count_nonzero().item<int64_t>();
  return {.name = layer.name,
          .rows = stored.size(0),
          .cols = stored.size(1),
          .group = asked.group,
          .sparsity_asked = asked.sparsity(),
          .zeros = zeros,
          .rounded_to_zero = how.quantization.on() ? zeros - result.zeros : 0,
          .loss_estimated = std::nullopt,
          .energy = std::nullopt,
          .loss_measured = result.loss,
          .loss_rounding = result.loss_rounding,
          .damp_used = factor.damp,
          .admm_steps = result.admm_steps,
          .refine_steps = result.refine_steps,
          .refine_residual = result.refine_residual,
          .sha256 = sha256,
          .elapsed_s = watch.elapsed_s()};
}

}  // namespace

void prune_pass(const models::Model& model, const calibration::TokenSet& tokens,
                const schedule::SparsitySchedule& schedule, const ModelStatistics& statistics,
                const PruneOptions& options, Journal& journal, report::RunReport& report,
                Progress& progress) {
  const int64_t blocks = model.config().blocks;
  std::map<std::string, schedule::LayerSparsity> asked;
  std::set<std::string> unfinished;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    asked[layer.name] = layer;
    if (!journal.has(layer.name)) unfinished.insert(layer.name);
  }
  if (unfinished.empty()) return;
  progress.begin("prune", blocks);
  models::HiddenStates hidden = models::HiddenStates::embed(*model.load_embedding(), tokens.ids,
                                                            journal.writer().partial_folder());
  model.drop_ends();
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    BlockStatistics block_statistics(*block, unfinished, model.device());
    if (!block_statistics.inputs().empty()) hidden.observe(*block, block_statistics);
    for_each_factored_layer(
        *block, block_statistics, unfinished, options, "", report.fallbacks, progress,
        [&](models::Linear& layer, const hessian::HessianFactor& factor) {
          report::LayerReport done =
              write_pruned(layer, factor, asked.at(layer.name), options, model, journal);
          done.loss_estimated = loss_at(statistics, layer.name, done.sparsity_asked);
          if (done.loss_estimated) done.energy = statistics.layers.at(layer.name).energy;
          report.layers.push_back(std::move(done));
          journal.record();
        });
    journal.restore_(*block, model);
    if (b + 1 < blocks) hidden.advance(*block);
    model.drop_block(b);
    progress.advance();
  }
}

}  // namespace prune::pipeline
