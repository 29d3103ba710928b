#include "estimate_pass.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/loss/outliers.h>
#include <prune/models/hidden_states.h>

#include <cmath>

#include "calibrate_block.h"

namespace prune::pipeline {
namespace {

void check_finite(double energy, const char* what, at::ScalarType dtype) {
  if (std::isfinite(energy)) return;
  throw Error(
      ErrorKind::kNumeric,
      fmt::format("{} is not finite in {}; another --dtype may hold it", what, dtype_name(dtype)));
}

// |x_j| of every input, up to a factor that all layers of the pass share.
Tensor input_norm(const hessian::HessianFactor& factor) {
  return (factor.hessian.diagonal() - factor.damp)
      .clamp_min_(0.0)
      .masked_fill_(factor.dead, 0.0)
      .sqrt_();
}

// Moves the stream on through the block and adds what was seen on the way to `result`.
void estimate_block(models::Block& block, models::HiddenStates& hidden,
                    const std::set<std::string>& chosen, const PruneOptions& options,
                    const models::Model& model, ModelStatistics& result, Progress& progress) {
  BlockEstimates statistics(block, chosen, model.device());
  hidden.advance(block, &statistics);
  std::vector<loss::WeightAndInput> seen;
  for_each_factored_layer(block, statistics, chosen, options, " (estimate)", result.fallbacks,
                          progress,
                          [&](const models::Linear& layer, const hessian::HessianFactor& factor) {
                            loss::LayerLoss estimate = loss::estimate_loss(layer.weight, factor);
                            estimate.energy = statistics.energy(layer.name);
                            check_finite(estimate.energy, "the layer's output", model.dtype());
                            result.layers[layer.name] = estimate;
                            seen.push_back({layer.weight, input_norm(factor)});
                          });
  result.outliers.push_back(loss::outlier_share(seen));
  const double energy = hidden.median_energy();
  check_finite(energy, "the stream after a block", model.dtype());
  result.stream_energy.push_back(energy);
}

}  // namespace

ModelStatistics estimate_pass(const models::Model& model, const calibration::TokenSet& tokens,
                              const std::set<std::string>& chosen, const PruneOptions& options,
                              Journal& journal, Progress& progress) {
  const int64_t blocks = model.config().blocks;
  ModelStatistics result = journal.statistics();
  const int64_t known = result.blocks();
  progress.begin("estimate", blocks);
  models::HiddenStates hidden = models::HiddenStates::embed(*model.load_embedding(), tokens.ids,
                                                            journal.writer().partial_folder());
  model.drop_ends();
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    if (b < known) {
      hidden.advance(*block);
    } else {
      estimate_block(*block, hidden, chosen, options, model, result, progress);
      journal.record(result);
    }
    model.drop_block(b);
    progress.advance();
  }
  return result;
}

}  // namespace prune::pipeline
