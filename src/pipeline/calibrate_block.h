#pragma once

#include <prune/hessian/accumulator.h>
#include <prune/models/hidden_states.h>

#include <map>
#include <set>
#include <string>

namespace prune::pipeline {

/// What one run of a block tells about its linear layers: a Hessian per distinct input and, per layer,
/// the energy of its output.
class BlockStatistics : public models::BlockObserver {
 public:
  /// Only the inputs of layers named in `chosen` are followed.
  BlockStatistics(models::Block& block, const std::set<std::string>& chosen, at::Device device);

  void on_input(int64_t input, const Tensor& x) override;
  void on_output(const models::Linear& layer, const Tensor& y) override;

  /// Inputs that are followed, ascending.
  std::vector<int64_t> inputs() const;
  /// H of this input; its memory is handed over.
  Tensor take_hessian(int64_t input);
  /// tr(W H Wᵀ) = (2/N) Σ |W x|², from the outputs as they came.
  double energy(const std::string& layer) const;

 private:
  std::map<int64_t, hessian::HessianAccumulator> accumulators_;
  std::map<std::string, Tensor> squares_;  // Σ |y - b|², float64 scalars on the device
  int64_t samples_ = 0;
};

}  // namespace prune::pipeline
