#include "calibrate_block.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/hessian/factorize.h>
#include <prune/plan/cost_model.h>

#include <optional>

namespace prune::pipeline {
namespace {

// What to say of a damp that had to be raised.
std::string damp_text(int damp_raises, double damp) {
  return fmt::format("damp raised {} times to {:.3e} for the factorisation", damp_raises, damp);
}

}  // namespace

BlockStatistics::BlockStatistics(models::Block& block, const std::set<std::string>& chosen,
                                 at::Device device, const dist::SampleSplit& split,
                                 dist::Communicator& comm)
    : comm_(&comm) {
  std::vector<models::LinearSpec> layers;
  for (const models::Linear& layer : block.linears()) {
    if (!chosen.contains(layer.name)) continue;
    sums_.try_emplace(layer.site, layer.weight.size(1), device, split, comm);
    layers.push_back({.name = layer.name,
                      .rows = layer.weight.size(0),
                      .cols = layer.weight.size(1),
                      .site = layer.site});
  }
  owners_ = plan::input_owners(layers, comm.size());
}

void BlockStatistics::on_site(int64_t input, const Tensor& x) {
  const auto found = sums_.find(input);
  if (found != sums_.end()) found->second.add(x);
}

std::vector<int64_t> BlockStatistics::inputs() const {
  std::vector<int64_t> result;
  for (const auto& [input, sum] : sums_) result.push_back(input);
  return result;
}

void BlockStatistics::reduce_(int64_t input) { sums_.at(input).reduce_(owner(input)); }

Tensor BlockStatistics::take_hessian(int64_t input) { return sums_.at(input).finish(); }

BlockEstimates::BlockEstimates(models::Block& block, const std::set<std::string>& chosen,
                               at::Device device, const dist::SampleSplit& split,
                               dist::Communicator& comm)
    : BlockStatistics(block, chosen, device, split, comm) {
  for (const models::Linear& layer : block.linears()) {
    if (chosen.contains(layer.name)) squares_[layer.name];
  }
}

void BlockEstimates::on_output(const models::Linear& layer, const Tensor& y) {
  const auto found = squares_.find(layer.name);
  if (found == squares_.end()) return;
  const Tensor without_bias = layer.bias.defined() ? y - layer.bias : y;
  const Tensor norm = at::linalg_vector_norm(without_bias, 2, {}, false, at::kFloat);
  found->second.push_back(norm.to(at::kDouble).square());
}

std::map<std::string, double> BlockEstimates::energies(int64_t samples) const {
  std::map<std::string, double> result;
  for (const auto& [layer, squares] : squares_) {
    // Added up one after the other, so that it is the same sum however the batches are spread.
    const Tensor all = comm_->gather(at::stack(squares));
    const auto batches = all.accessor<double, 1>();
    double sum = 0.0;
    for (int64_t i = 0; i < batches.size(0); ++i) sum += batches[i];
    result[layer] = sum * 2.0 / static_cast<double>(samples);
  }
  return result;
}

void for_each_factored_layer(models::Block& block, BlockStatistics& statistics,
                             const std::vector<int64_t>& inputs,
                             const std::set<std::string>& chosen, const FactorOptions& options,
                             std::vector<report::Fallback>& fallbacks, dist::Communicator& comm,
                             Progress& progress, const VisitLayer& visit) {
  const auto for_layers_of = [&](int64_t input, const auto& action) {
    for (models::Linear& layer : block.linears()) {
      if (layer.site == input && chosen.contains(layer.name)) action(layer);
    }
  };
  const auto naming = [](const std::string& layer, const auto& action) {
    try {
      action();
    } catch (Error& error) {
      if (error.kind() == ErrorKind::kNumeric) error.in(layer);
      throw;
    }
  };
  for (const int64_t input : inputs) {
    std::string first_reader;
    for_layers_of(input, [&](const models::Linear& layer) {
      if (first_reader.empty()) first_reader = layer.name;
    });
    naming(first_reader, [&] { statistics.reduce_(input); });
  }

  const auto note_damp = [&](const models::Linear& layer, int damp_raises, double damp) {
    if (damp_raises == 0) return;
    const std::string what = damp_text(damp_raises, damp);
    if (options.strict) throw Error(ErrorKind::kNumeric, what + "; refused by --strict");
    report::add_fallback_(fallbacks, {.where = layer.name + options.phase, .what = what});
  };
  std::vector<double> damps;  // input, raises, damp of those that this rank factored
  for (const int64_t input : inputs) {
    if (statistics.owner(input) != comm.rank()) continue;
    std::optional<hessian::HessianFactor> factor;
    for_layers_of(input, [&](models::Linear& layer) {
      throw_if_interrupted();
      progress.detail(layer.name);
      naming(layer.name, [&] {
        if (!factor) {
          Tensor hessian = statistics.take_hessian(input);
          factor = hessian::factorize_(hessian, options.percdamp, options.act_order);
          damps.insert(damps.end(), {static_cast<double>(input),
                                     static_cast<double>(factor->damp_raises), factor->damp});
        }
        note_damp(layer, factor->damp_raises, factor->damp);
        visit(layer, *factor);
      });
    });
  }
  if (comm.size() == 1) return;

  // In the block's order, whoever found them.
  const auto rows = static_cast<int64_t>(damps.size()) / 3;
  const Tensor gathered = comm.gather(at::tensor(damps, at::kDouble).view({rows, 3}));
  const Tensor all = gathered.index_select(0, gathered.select(1, 0).argsort());
  for (int64_t i = 0; i < all.size(0); ++i) {
    for_layers_of(all[i][0].item<int64_t>(), [&](const models::Linear& layer) {
      std::erase_if(fallbacks, [&](const report::Fallback& f) {
        return f.where == layer.name + options.phase;
      });
      note_damp(layer, all[i][1].item<int>(), all[i][2].item<double>());
    });
  }
}

}  // namespace prune::pipeline
