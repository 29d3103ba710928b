#include "estimate_pass.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/loss/outliers.h>
#include <prune/stream/hidden_states.h>

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

// What the owner of a layer found, to all ranks.
loss::LayerLoss share(loss::LayerLoss estimate, int64_t owner, dist::Communicator& comm) {
  std::vector<double> numbers = {estimate.mean, estimate.total};
  numbers.insert(numbers.end(), estimate.cumulative.begin(), estimate.cumulative.end());
  numbers = comm.broadcast(numbers, owner);
  estimate.mean = numbers[0];
  estimate.total = numbers[1];
  std::copy(numbers.begin() + 2, numbers.end(), estimate.cumulative.begin());
  return estimate;
}

// Moves the stream on through the block and adds what was seen on the way to `result`.
void estimate_block(models::Block& block, stream::HiddenStates& hidden, const Inputs& inputs,
                    const dist::SampleSplit& split, const PruneOptions& options,
                    dist::Communicator& comm, ModelStatistics& result, Progress& progress) {
  const models::Model& model = inputs.model;
  const std::set<std::string>& chosen = inputs.chosen;
  BlockEstimates statistics(block, chosen, model.device(), split, comm);
  hidden.advance(block, &statistics);
  const std::map<std::string, double> energies = statistics.energies(estimate_samples(options));
  std::map<std::string, loss::LayerLoss> estimates;
  std::map<int64_t, Tensor> norms;
  for_each_factored_layer(
      block, statistics, statistics.inputs(), chosen,
      {.percdamp = options.percdamp, .strict = options.strict, .phase = " (estimate)"},
      result.fallbacks, comm, progress,
      [&](const models::Linear& layer, const hessian::HessianFactor& factor) {
        estimates[layer.name] = loss::estimate_loss(layer.weight, factor);
        check_finite(energies.at(layer.name), "the layer's output", model.dtype());
        norms.try_emplace(layer.site, input_norm(factor));
      });
  std::vector<loss::WeightAndInput> seen;
  std::set<int64_t> shared;
  for (const models::Linear& layer : block.linears()) {
    if (!chosen.contains(layer.name)) continue;
    const int64_t owner = statistics.owner(layer.site);
    loss::LayerLoss estimate = share(estimates[layer.name], owner, comm);
    estimate.energy = energies.at(layer.name);
    result.layers[layer.name] = estimate;
    Tensor& norm = norms[layer.site];
    if (!norm.defined()) {
      norm = at::empty({layer.weight.size(1)}, layer.weight.options().dtype(at::kFloat));
    }
    if (shared.insert(layer.site).second) {
      comm.broadcast_(norm, owner, dist::Traffic::kOther);
    }
    seen.push_back({layer.weight, norm});
  }
  result.outliers.push_back(loss::outlier_share(seen));
  const double energy = comm.gather(hidden.energies()).median().item<double>();
  check_finite(energy, "the stream after a block", model.dtype());
  result.stream_energy.push_back(energy);
}

}  // namespace

ModelStatistics estimate_pass(const Inputs& inputs, const PruneOptions& options, Journal& journal,
                              dist::Communicator& comm, Progress& progress) {
  const models::Model& model = inputs.model;
  const dist::SampleSplit split = sample_split(estimate_samples(options), options, comm);
  const int64_t blocks = model.config().blocks;
  ModelStatistics result = journal.statistics();
  const int64_t known = result.blocks();
  progress.begin("estimate", blocks);
  stream::HiddenStates hidden = embed_share(inputs, split, options, journal.scratch(), comm);
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    comm.enter(fmt::format("estimate block {}/{}", b + 1, blocks));
    model.prefetch_block(b + 1);
    const std::unique_ptr<models::Block> block = model.load_block(b);
    if (b < known) {
      hidden.advance(*block);
    } else {
      estimate_block(*block, hidden, inputs, split, options, comm, result, progress);
      journal.record(result);
    }
    model.drop_block(b);
    progress.advance();
  }
  return result;
}

}  // namespace prune::pipeline
