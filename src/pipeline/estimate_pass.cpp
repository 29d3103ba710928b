#include "estimate_pass.h"

#include <prune/core/interrupt.h>
#include <prune/models/hidden_states.h>

#include "calibrate_block.h"

namespace prune::pipeline {
ModelStatistics estimate_pass(const models::Model& model, const calibration::TokenSet& tokens,
                              const std::set<std::string>& chosen, const PruneOptions& options,
                              const std::filesystem::path& scratch, Progress& progress) {
  const int64_t blocks = model.config().blocks;
  progress.begin("estimate", blocks);
  ModelStatistics result;
  models::HiddenStates hidden =
      models::HiddenStates::embed(*model.load_embedding(), tokens.ids, scratch);
  model.drop_ends();
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    BlockEstimates statistics(*block, chosen, model.device());
    hidden.advance(*block, &statistics);
    for_each_factored_layer(*block, statistics, chosen, options, " (estimate)", result.fallbacks,
                            progress,
                            [&](const models::Linear& layer, const hessian::HessianFactor& factor) {
                              loss::LayerLoss estimate = loss::estimate_loss(layer.weight, factor);
                              estimate.energy = statistics.energy(layer.name);
                              result.layers[layer.name] = estimate;
                            });
    result.stream_energy.push_back(hidden.median_energy());
    model.drop_block(b);
    progress.advance();
  }
  return result;
}

}  // namespace prune::pipeline
