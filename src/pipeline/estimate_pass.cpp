#include "estimate_pass.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/hessian/factorize.h>
#include <prune/models/hidden_states.h>

#include "calibrate_block.h"

namespace prune::pipeline {
namespace {

void estimate_block(models::Block& block, BlockStatistics& statistics,
                    const std::set<std::string>& chosen, const PruneOptions& options,
                    report::RunReport& report, ModelStatistics& result) {
  for (const int64_t input : statistics.inputs()) {
    std::string first_layer;
    hessian::HessianFactor factor;
    for (const models::Linear& layer : block.linears()) {
      if (layer.input != input || !chosen.contains(layer.name)) continue;
      try {
        if (first_layer.empty()) {
          Tensor hessian = statistics.take_hessian(input);
          factor = hessian::factorize_(hessian, options.percdamp);
          first_layer = layer.name;
          check_damp(layer.name + " (estimate)", factor, options.strict, report);
        }
        loss::LayerLoss estimate = loss::estimate_loss(layer.weight, factor);
        estimate.energy = statistics.energy(layer.name);
        result.layers[layer.name] = estimate;
      } catch (Error& error) {
        error.in(layer.name);
        throw;
      }
    }
  }
}

}  // namespace

ModelStatistics estimate_pass(const models::Model& model, const calibration::TokenSet& tokens,
                              const std::set<std::string>& chosen, const PruneOptions& options,
                              report::RunReport& report, Progress& progress) {
  const int64_t blocks = model.config().blocks;
  progress.begin("estimate", blocks);
  ModelStatistics result;
  models::HiddenStates hidden = models::HiddenStates::embed(*model.load_ends(), tokens.ids);
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    BlockStatistics statistics(*block, chosen, model.device());
    hidden.advance(*block, &statistics);
    estimate_block(*block, statistics, chosen, options, report, result);
    result.stream_energy.push_back(hidden.median_energy());
    model.drop_block(b);
    progress.advance();
  }
  return result;
}

void check_damp(const std::string& layer, const hessian::HessianFactor& factor, bool strict,
                report::RunReport& report) {
  if (factor.damp_raises == 0) return;
  const std::string what = fmt::format("damp raised {} times to {:.3e} for the factorisation",
                                       factor.damp_raises, factor.damp);
  if (strict) throw Error(ErrorKind::kNumeric, what + "; refused by --strict");
  report.fallbacks.push_back({.where = layer, .what = what});
}

}  // namespace prune::pipeline
