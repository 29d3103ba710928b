#pragma once

#include <prune/core/tensor.h>

#include <vector>

namespace prune::hessian {

/// @param sums of each calibration sample's inputs, which are finite if all of those are
/// @throws Error(numeric) naming the first sample whose input is not finite.
void check_finite_samples(const Tensor& sums);

/// H is symmetric: its rows up to the diagonal are accumulated, in panels of so many, 1.3 to 1.7 times faster
/// than the whole product. On a CPU measured best for 576 to 3072 columns; a GPU is idle in parts below 2048.
constexpr int64_t panel_rows(bool on_cuda) { return on_cuda ? 2048 : 256; }

/// Elements in the panels of a Hessian's lower triangle: what one row of activations is multiplied into, and what a
/// rank sends of it.
constexpr int64_t panel_elements(int64_t cols, bool on_cuda) {
  const int64_t step = panel_rows(on_cuda);
  int64_t elements = 0;
  for (int64_t begin = 0; begin < cols; begin += step) {
    const int64_t end = begin + step < cols ? begin + step : cols;
    elements += (end - begin) * end;
  }
  return elements;
}

/// Accumulates H = (2/N) Σ x xᵀ over N calibration samples for one layer input, in float32 (SparseGPT's
/// scale, so that percdamp means the same; arXiv 2301.00774, §3).
class HessianAccumulator {
 public:
  HessianAccumulator(int64_t cols, at::Device device);

  /// Products of 16-bit numbers are exact in float32, in which they are added up.
  /// @param x [samples, seqlen, cols] of any float dtype on the accumulator's device.
  void add(const Tensor& x);

  /// The whole symmetric H [cols, cols] float32; the accumulator is empty afterwards.
  /// @throws Error(numeric) naming the first sample whose input is not finite.
  Tensor finish();

  int64_t samples() const { return samples_; }

  /// Adds what the other one has, whose samples come after these.
  void absorb_(HessianAccumulator other);

  // For a sum over several processes: what it is made of. The panels are views of the sum's rows up to the
  // diagonal, [panel_rows() or the rest, up to cols]; what is added to them is added to H.
  std::vector<Tensor> panels() const;
  /// [samples] float32: the sum of each sample's values.
  Tensor sample_sums() const { return at::cat(sample_sums_); }
  /// Those of all samples that are in the panels by now.
  void set_sample_sums(const Tensor& sums);

 private:
  /// [begin, end) of each panel's rows.
  std::vector<std::pair<int64_t, int64_t>> panel_ranges() const;

  Tensor sum_;  // [cols, cols], only the lower-triangle panels are kept up to date
  // Sum of each sample's values, which is finite if they are; read back once at the end.
  std::vector<Tensor> sample_sums_;
  int64_t samples_ = 0;
};

}  // namespace prune::hessian
