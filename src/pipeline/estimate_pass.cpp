#include "estimate_pass.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/dist/site_hessians.h>
#include <prune/hessian/energies.h>
#include <prune/loss/outliers.h>
#include <prune/stream/estimate_stream.h>
#include <prune/stream/walk.h>

#include <cmath>
#include <map>

#include "inputs.h"

namespace prune::pipeline {
namespace {

void check_finite(double energy, const std::string& what, at::ScalarType dtype) {
  if (std::isfinite(energy)) return;
  throw Error(
      ErrorKind::kNumeric,
      fmt::format("{} is not finite in {}; another --dtype may hold it", what, dtype_name(dtype)));
}

/// What the owner of a site finds for one of its readers.
struct Estimate {
  loss::LayerLoss loss;
  int64_t damp_raises = 0;
  double damp = 0.0;
};

Estimate share(const Estimate& mine, int64_t owner, dist::Communicator& comm) {
  std::vector<double> numbers = {mine.loss.mean, mine.loss.total,
                                 static_cast<double>(mine.damp_raises), mine.damp,
                                 mine.loss.energy};
  numbers.insert(numbers.end(), mine.loss.cumulative.begin(), mine.loss.cumulative.end());
  numbers = comm.broadcast(numbers, owner);
  Estimate shared{.loss = {.mean = numbers[0], .total = numbers[1], .energy = numbers[4]},
                  .damp_raises = static_cast<int64_t>(numbers[2]),
                  .damp = numbers[3]};
  std::copy(numbers.begin() + 5, numbers.end(), shared.loss.cumulative.begin());
  return shared;
}

/// Estimates the losses of one block's layers.
class EstimateSteps : public dist::BlockSteps {
 public:
  EstimateSteps(const Run& run, const dist::BlockRoute& route, models::Block& block,
                stream::HiddenStates& hidden, const dist::SampleSplit& split,
                journal::ModelStatistics& result)
      : run_(run),
        block_(block),
        hidden_(hidden),
        result_(result),
        samples_(estimate_samples(run.options)),
        observer_(route, block, split, run.comm),
        stages_(hidden, block, run.options.expert_tokens) {}

  void accumulate(const dist::Stage& stage) override {
    stages_.reach(dist::sites_of(stage), observer_);
    for (const dist::SiteRoute& site : stage) {
      for (const size_t reader : site.readers) {
        if (block_.linears()[reader].expert < 0) take_energy(reader);
      }
    }
    for (const dist::SiteRoute& site : stage) observer_.reduce_(site);
  }

  void factorize(const dist::SiteRoute& site) override {
    factor_ = observer_.factorize(site, run_.options.percdamp, /*act_order=*/false);
    if (of_owl()) norms_[site.site] = hessian::column_norms(factor_);
  }

  void release(const dist::SiteRoute&) override { factor_ = {}; }

  void solve(const dist::SiteRoute&, size_t reader) override {
    throw_if_interrupted();
    const models::Linear& layer = block_.linears()[reader];
    run_.progress.detail(layer.name);
    estimates_[reader] = {.loss = loss::estimate_loss(layer.weight, factor_),
                          .damp_raises = factor_.damp_raises,
                          .damp = factor_.damp};
    if (layer.expert >= 0) {
      loss::LayerLoss& loss = estimates_[reader].loss;
      loss.energy = hessian::output_energy(layer.weight, factor_);
      // Its errors reach the stream multiplied by its gates.
      loss::scale_(loss, observer_.load().mean_squared_gate(layer.expert));
    }
  }

  void share(const dist::SiteRoute& site, size_t reader) override {
    const std::string& layer = block_.linears()[reader].name;
    Estimate estimate = pipeline::share(estimates_[reader], site.owner, run_.comm);
    if (block_.linears()[reader].expert < 0) estimate.loss.energy = energies_.at(reader);
    check_energy(reader, estimate.loss.energy);
    result_.layers[layer] = estimate.loss;
    if (estimate.damp_raises > 0) {
      report::Fallback fallback{.where = layer + " (estimate)",
                                .what = damp_text(estimate.damp_raises, estimate.damp)};
      run_.journal.refuse_under_strict(fallback);
      report::add_fallback_(result_.fallbacks, std::move(fallback));
    }
  }

  /// Called by all ranks after the steps: what is known of the block as a whole.
  void finish(const dist::BlockRoute& route) {
    stages_.finish();
    if (of_owl()) result_.outliers.push_back(outlier_share(route));
    const double energy = run_.comm.gather(hidden_.energies()).median().item<double>();
    check_finite(energy, "the stream after a block", run_.inputs.model.dtype());
    result_.stream_energy.push_back(energy);
  }

 private:
  void take_energy(size_t reader) {
    const std::string& layer = block_.linears()[reader].name;
    energies_[reader] =
        hessian::OutputEnergy::of(run_.comm.gather(observer_.energy(layer).batches()), samples_);
    check_energy(reader, energies_[reader]);
  }

  void check_energy(size_t reader, double energy) const {
    check_finite(energy, block_.linears()[reader].name + ": the layer's output",
                 run_.inputs.model.dtype());
  }

  bool of_owl() const { return run_.options.schedule == schedule::ScheduleKind::kOwl; }

  double outlier_share(const dist::BlockRoute& route) {
    std::vector<loss::WeightAndInput> layers;
    for (const dist::Stage& stage : route) {
      for (const dist::SiteRoute& site : stage) {
        Tensor& norm = norms_[site.site];
        if (!norm.defined()) {
          const Tensor& weight = block_.linears()[site.readers.front()].weight;
          norm = at::empty({site.cols}, weight.options().dtype(at::kFloat));
        }
        run_.comm.broadcast_(norm, site.owner, dist::Traffic::kOther);
        for (const size_t reader : site.readers) {
          layers.push_back({block_.linears()[reader].weight, norm});
        }
      }
    }
    return loss::outlier_share(layers);
  }

  const Run& run_;
  models::Block& block_;
  stream::HiddenStates& hidden_;
  journal::ModelStatistics& result_;
  int64_t samples_;
  dist::EstimateObserver observer_;
  stream::EstimateStream stages_;
  hessian::HessianFactor factor_;
  std::map<size_t, double> energies_;
  std::map<size_t, Estimate> estimates_;
  std::map<int64_t, Tensor> norms_;  // by site; OWL only
};

}  // namespace

journal::ModelStatistics estimate_pass(const Run& run) {
  const models::Model& model = run.inputs.model;
  journal::ModelStatistics result = run.journal.statistics();
  const dist::SampleSplit split = run.split(estimate_samples(run.options));
  const stream::Walk blocks(model, "estimate", run.progress);
  stream::HiddenStates hidden = embed_share(run, split);
  for (stream::LoadedBlock& block : blocks) {
    if (block.number < run.journal.statistics().blocks()) {
      hidden.advance(*block);
      continue;
    }
    const dist::BlockRoute route = dist::route_through(
        *block, dist::chosen_in(*block, run.inputs.chosen), stream::Order::kBlock, run.comm.size());
    EstimateSteps steps(run, route, *block, hidden, split, result);
    dist::follow(route, run.comm.rank(), steps);
    steps.finish(route);
    run.journal.record_statistics(result);
  }
  return result;
}

}  // namespace prune::pipeline
