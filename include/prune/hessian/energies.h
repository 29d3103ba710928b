#pragma once

#include <prune/core/tensor.h>
#include <prune/hessian/factor.h>

#include <vector>

namespace prune::hessian {

/// Collects tr(W H Wᵀ) = (2/N) Σ |W x|² of a layer from its outputs, batch by batch.
class OutputEnergy {
 public:
  /// @param y    [samples, seqlen, rows] with the bias added
  /// @param bias [rows] or undefined
  void add(const Tensor& y, const Tensor& bias);
  /// Σ |W x|² of each batch so far, [batches] float64 on the outputs' device.
  Tensor batches() const { return at::stack(squares_); }
  /// The energy of all ranks' batches, added one by one so that the sum does not depend on how they were spread.
  /// @param batches [batches] float64, CPU
  /// @param samples N
  static double of(const Tensor& batches, int64_t samples);

 private:
  std::vector<Tensor> squares_;
};

/// tr(W H Wᵀ) from the Hessian itself. @param weight [rows, cols], columns in the factor's permutation
double output_energy(const Tensor& weight, const HessianFactor& factor);

/// |x_j| of every column of a site over the calibration tokens, up to one factor for all sites of a pass.
/// @return [cols] float32
Tensor column_norms(const HessianFactor& factor);

}  // namespace prune::hessian
