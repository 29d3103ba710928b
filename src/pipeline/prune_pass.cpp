#include "prune_pass.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/sha256.h>
#include <prune/models/hidden_states.h>
#include <prune/solver/prune_weight.h>

#include <cmath>

#include "calibrate_block.h"
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

// A kept weight that rounds to zero becomes the smallest number of the dtype instead: the number of zeros
// was promised. Refined weights may be that small.
Tensor rounded(const Tensor& weight, at::ScalarType dtype) {
  Tensor stored = weight.to(dtype).cpu();
  if (stored.element_size() == 2) {  // of float16 and bfloat16 it is the bit pattern 1
    const Tensor lost = stored.eq(0).logical_and_(weight.cpu().ne(0));
    stored.view(at::kShort).masked_fill_(lost, 1);
  }
  return stored;
}

// Prunes one layer, writes it, and leaves in the block what was written, so that what is measured
// from here on is what lies on the disk.
report::LayerReport prune_layer(models::Linear& layer, const hessian::HessianFactor& factor,
                                const schedule::LayerSparsity& asked, const PruneOptions& options,
                                const models::Model& model, checkpoint::CheckpointWriter& writer) {
  const Stopwatch watch;
  Tensor weight = layer.weight.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  solver::SolverOptions how = options.solver;
  how.sparsity = asked.sparsity();
  const solver::PruneResult result = solver::prune_weight_(weight, factor, how);
  const Tensor stored = rounded(weight, model.stored_dtype());
  if (!at::isfinite(stored).all().item<bool>()) {
    throw Error(ErrorKind::kNumeric, fmt::format("the pruned weights do not fit into {}",
                                                 dtype_name(model.stored_dtype())));
  }
  writer.write(layer.name + ".weight", stored);
  layer.weight = stored.to(model.device(), model.dtype());
  return {.name = layer.name,
          .rows = weight.size(0),
          .cols = weight.size(1),
          .group = asked.group,
          .sparsity_asked = asked.sparsity(),
          .zeros = stored.numel() - stored.count_nonzero().item<int64_t>(),
          .loss_estimated = std::nullopt,
          .energy = std::nullopt,
          .loss_measured = result.loss,
          .damp_used = factor.damp,
          .admm_steps = result.admm_steps,
          .refine_steps = result.refine_steps,
          .refine_residual = result.refine_residual,
          .sha256 = sha256_hex(stored),
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
              prune_layer(layer, factor, asked.at(layer.name), options, model, journal.writer());
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
