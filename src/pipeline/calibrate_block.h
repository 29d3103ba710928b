#pragma once

#include <prune/core/progress.h>
#include <prune/dist/hessian_sum.h>
#include <prune/hessian/factor.h>
#include <prune/pipeline/prune_run.h>
#include <prune/stream/hidden_states.h>

#include <functional>
#include <map>
#include <set>
#include <string>

namespace prune::pipeline {

/// What a run of a block tells about its linear layers: a Hessian per distinct input. Every rank runs its own
/// samples; an input's Hessian comes together at the rank that owns it, which factors it and solves its
/// layers, so that the solver sees one device and whole layers. Where inputs are taken one after the other
/// (Order::kSequential) the other ranks wait for it. Rows divided over the ranks would need the factor at all
/// of them: scripts/bench/RESULTS.md has both ways measured.
class BlockStatistics : public models::BlockObserver {
 public:
  /// Only the inputs of layers named in `chosen` are followed.
  BlockStatistics(models::Block& block, const std::set<std::string>& chosen, at::Device device,
                  const dist::SampleSplit& split, dist::Communicator& comm);

  void on_site(int64_t input, const Tensor& x) override;

  /// Inputs that are followed, ascending.
  std::vector<int64_t> inputs() const;
  /// The rank that factors this input's Hessian.
  int64_t owner(int64_t input) const { return owners_.at(input); }
  /// Called by all ranks after the run: the sum of this input's Hessian comes to its owner.
  void reduce_(int64_t input);
  /// H of this input, on its owner; its memory is handed over.
  Tensor take_hessian(int64_t input);

 protected:
  dist::Communicator* comm_;

 private:
  std::map<int64_t, dist::HessianSum> sums_;
  std::map<int64_t, int64_t> owners_;
};

/// Also takes the energy of each layer's output, which only the estimate pass asks for.
class BlockEstimates : public BlockStatistics {
 public:
  BlockEstimates(models::Block& block, const std::set<std::string>& chosen, at::Device device,
                 const dist::SampleSplit& split, dist::Communicator& comm);

  void on_output(const models::Linear& layer, const Tensor& y) override;

  /// tr(W H Wᵀ) = (2/N) Σ |W x|² over all ranks' samples, from the outputs as they came, for every chosen
  /// layer. Called by all ranks.
  std::map<std::string, double> energies(int64_t samples) const;

 private:
  std::map<std::string, std::vector<Tensor>> squares_;  // |y - b|² of each batch, on the device
};

struct FactorOptions {
  double percdamp = 0.01;
  bool act_order = false;  ///< as hessian::factorize_
  bool strict = false;     ///< a damp that has to be raised is an error
  std::string phase = {};  ///< follows a layer's name in fallbacks: "" or " (estimate)"
};

using VisitLayer = std::function<void(models::Linear& layer, const hessian::HessianFactor& factor)>;

/// Visits the chosen layers of a block that read these inputs, if this rank owns the input, with the factor of
/// it; layers that read the same input share one Hessian and one factorisation. A damp that had to be raised,
/// on any rank, is recorded for each layer as a fallback. Called by all ranks.
/// @throws Error(numeric) naming the layer, also for a raised damp under --strict; Error(interrupted).
void for_each_factored_layer(models::Block& block, BlockStatistics& statistics,
                             const std::vector<int64_t>& inputs,
                             const std::set<std::string>& chosen, const FactorOptions& options,
                             std::vector<report::Fallback>& fallbacks, dist::Communicator& comm,
                             Progress& progress, const VisitLayer& visit);

}  // namespace prune::pipeline
