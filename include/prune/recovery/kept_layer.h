#pragma once

#include <prune/core/tensor.h>

namespace prune::recovery {

/// One step of Adam, counted from 1.
struct AdamStep {
  int64_t number = 1;
  double rate = 0.0;  ///< relative to the weights
};

/// A layer's kept weights in training: float32 weights and Adam's two moments, packed by the mask. Zeros have none of
/// them and stay zeros.
class KeptLayer {
 public:
  /// @param bits  kernels::kept_bits() of the layer, on the computing device
  /// @param shape {rows, cols}
  /// @param states [3, kept] float32: weights, first and second moments, on the computing device or in host memory;
  ///        its content is kept
  KeptLayer(Tensor bits, std::vector<int64_t> shape, Tensor states);

  const Tensor& bits() const { return bits_; }
  const Tensor& states() const { return states_; }
  int64_t kept() const { return states_.size(1); }
  int64_t weights() const { return shape_.at(0) * shape_.at(1); }
  /// [kept] float32 on the computing device
  Tensor zeros() const { return at::zeros({kept()}, bits_.options().dtype(at::kFloat)); }
  /// Forgets what Adam has seen.
  void restart() { states_.slice(0, 1).zero_(); }
  /// Replaces the kept weights by those of `weight` and the moments by zeros. @param weight [rows, cols]
  void set(const Tensor& weight);
  /// Replaces weights and moments. @param states [3, kept]
  void set_states(const Tensor& states) { states_.copy_(states); }
  /// [rows, cols] on the computing device
  Tensor weight(at::ScalarType dtype) const;
  /// Adam (arXiv 1412.6980) whose rate is relative to the layer's weights, as in Adafactor (arXiv 1804.04235, section
  /// 8): it is multiplied by their root mean square. The update is clipped as in StableAdamW (arXiv 2304.13013,
  /// algorithm 2): the rate is divided by the root mean square of g / sqrt(v) over the layer where that is above 1.
  /// @param gradient [kept] float32 on the computing device
  void step_(const Tensor& gradient, const AdamStep& step);

 private:
  Tensor bits_;
  std::vector<int64_t> shape_;
  Tensor states_;
};

}  // namespace prune::recovery
