#include <prune/core/error.h>
#include <prune/hessian/accumulator.h>

#include <algorithm>

namespace prune::hessian {

HessianAccumulator::HessianAccumulator(int64_t cols, at::Device device)
    : sum_(at::zeros({cols, cols}, at::TensorOptions(device).dtype(at::kFloat))) {}

void HessianAccumulator::add(const Tensor& x) {
  TORCH_INTERNAL_ASSERT(x.dim() == 3 && x.size(2) == sum_.size(0));
  sample_sums_.push_back(x.flatten(1).sum(1, /*keepdim=*/false, at::kFloat));
  samples_ += x.size(0);

  const Tensor rows = x.flatten(0, 1).to(at::kFloat);
  const int64_t cols = rows.size(1);
  for (int64_t begin = 0; begin < cols; begin += kPanelRows) {
    const int64_t end = std::min(begin + kPanelRows, cols);
    Tensor panel = sum_.slice(0, begin, end).slice(1, 0, end);
    panel.addmm_(rows.slice(1, begin, end).t(), rows.slice(1, 0, end));
  }
}

Tensor HessianAccumulator::finish() {
  TORCH_INTERNAL_ASSERT(samples_ > 0);
  const Tensor bad = at::isfinite(at::cat(sample_sums_)).logical_not();
  if (bad.any().item<bool>()) {
    throw Error(
        ErrorKind::kNumeric,
        fmt::format("the layer's input has values that are not finite in calibration sample {}",
                    bad.nonzero()[0][0].item<int64_t>()));
  }
  sum_.mul_(2.0 / static_cast<double>(samples_));
  // Mirror the lower triangle panel by panel, with no second matrix.
  const int64_t cols = sum_.size(0);
  for (int64_t begin = 0; begin < cols; begin += kPanelRows) {
    const int64_t end = std::min(begin + kPanelRows, cols);
    sum_.slice(0, 0, begin)
        .slice(1, begin, end)
        .copy_(sum_.slice(0, begin, end).slice(1, 0, begin).t());
  }
  samples_ = 0;
  sample_sums_.clear();
  return std::move(sum_);
}

}  // namespace prune::hessian
