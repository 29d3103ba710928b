#pragma once

#include <prune/core/progress.h>
#include <prune/hessian/accumulator.h>
#include <prune/hessian/factor.h>
#include <prune/models/hidden_states.h>
#include <prune/pipeline/prune_run.h>

#include <functional>
#include <map>
#include <set>
#include <string>

namespace prune::pipeline {

/// What one run of a block tells about its linear layers: a Hessian per distinct input. Only the inputs
/// matter, so the block is not run to its end.
class BlockStatistics : public models::BlockObserver {
 public:
  /// Only the inputs of layers named in `chosen` are followed.
  BlockStatistics(models::Block& block, const std::set<std::string>& chosen, at::Device device);

  void on_input(int64_t input, const Tensor& x) override;
  bool wants_result() const override { return false; }

  /// Inputs that are followed, ascending.
  std::vector<int64_t> inputs() const;
  /// H of this input; its memory is handed over.
  Tensor take_hessian(int64_t input);

 protected:
  int64_t samples_ = 0;

 private:
  std::map<int64_t, hessian::HessianAccumulator> accumulators_;
};

/// Also takes the energy of each layer's output, which only the estimate pass asks for. The block runs to
/// its end: the pass goes on with the dense stream.
class BlockEstimates : public BlockStatistics {
 public:
  BlockEstimates(models::Block& block, const std::set<std::string>& chosen, at::Device device);

  void on_output(const models::Linear& layer, const Tensor& y) override;
  bool wants_result() const override { return true; }

  /// tr(W H Wᵀ) = (2/N) Σ |W x|², from the outputs as they came.
  double energy(const std::string& layer) const;

 private:
  std::map<std::string, Tensor> squares_;  // Σ |y - b|², float64 scalars on the device
};

using VisitLayer = std::function<void(models::Linear& layer, const hessian::HessianFactor& factor)>;

/// Visits the chosen layers of a block with the factor of their input; layers that read the same input
/// share one Hessian and one factorisation. A damp that had to be raised is recorded for each layer as a
/// fallback of `phase` ("" or " (estimate)").
/// @throws Error(numeric) naming the layer, also for a raised damp under --strict; Error(interrupted).
void for_each_factored_layer(models::Block& block, BlockStatistics& statistics,
                             const std::set<std::string>& chosen, const PruneOptions& options,
                             const std::string& phase, std::vector<report::Fallback>& fallbacks,
                             Progress& progress, const VisitLayer& visit);

}  // namespace prune::pipeline
