#include <ATen/Context.h>
#include <prune/core/error.h>
#include <prune/hessian/accumulator.h>
#include <prune/kernels/product.h>

#include <algorithm>

namespace prune::hessian {

void check_finite_samples(const Tensor& sums) {
  const Tensor bad = at::isfinite(sums).logical_not();
  if (bad.any().item<bool>()) {
    throw Error(
        ErrorKind::kNumeric,
        fmt::format("the activations that the layer reads are not finite in calibration sample {}",
                    bad.nonzero()[0][0].item<int64_t>()));
  }
}

SampleRows all_rows(const Tensor& x) {
  const int64_t samples = x.size(0);
  const Tensor numbers = at::arange(samples, x.options().dtype(at::kLong));
  return {.x = x.flatten(0, 1),
          .sample = numbers.unsqueeze(1).expand({samples, x.size(1)}).flatten(),
          .samples = samples};
}

HessianAccumulator::HessianAccumulator(int64_t cols, at::Device device)
    : sum_(at::zeros({cols, cols}, at::TensorOptions(device).dtype(at::kFloat))) {}

void HessianAccumulator::add(const SampleRows& rows) {
  TORCH_INTERNAL_ASSERT(rows.x.dim() == 2 && rows.x.size(1) == sum_.size(0));
  sample_sums_.push_back(
      at::zeros({rows.samples}, sum_.options())
          .index_add_(0, rows.sample, rows.x.sum(1, /*keepdim=*/false, at::kFloat)));
  samples_ += rows.samples;
  if (rows.x.size(0) == 0) return;

  const Tensor x =
      (kernels::accumulates_16_bits(rows.x) ? rows.x : rows.x.to(at::kFloat)).contiguous();
  const at::NoTF32Guard no_tf32;
  const bool by_onednn = kernels::multiplies_by_onednn(x);
  const Tensor columns = by_onednn ? x.t().contiguous() : Tensor();
  for (const auto& [begin, end] : panel_ranges()) {
    Tensor panel = sum_.slice(0, begin, end).slice(1, 0, end);
    if (by_onednn) {
      panel.add_(kernels::affine(columns.slice(0, begin, end), columns.slice(0, 0, end)));
    } else {
      kernels::add_product_(panel, x.slice(1, begin, end), x.slice(1, 0, end));
    }
  }
}

std::vector<std::pair<int64_t, int64_t>> HessianAccumulator::panel_ranges() const {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  const int64_t cols = sum_.size(0);
  const int64_t step = panel_rows(sum_.is_cuda());
  for (int64_t begin = 0; begin < cols; begin += step) {
    ranges.emplace_back(begin, std::min(begin + step, cols));
  }
  return ranges;
}

std::vector<Tensor> HessianAccumulator::panels() const {
  std::vector<Tensor> result;
  for (const auto& [begin, end] : panel_ranges()) {
    result.push_back(sum_.slice(0, begin, end).slice(1, 0, end));
  }
  return result;
}

void HessianAccumulator::absorb_(HessianAccumulator other) {
  const std::vector<Tensor> others = other.panels();
  const std::vector<Tensor> mine = panels();
  for (size_t i = 0; i < mine.size(); ++i) mine[i].add_(others[i]);
  samples_ += other.samples_;
  std::ranges::move(other.sample_sums_, std::back_inserter(sample_sums_));
}

void HessianAccumulator::set_sample_sums(const Tensor& sums) {
  sample_sums_ = {sums};
  samples_ = sums.size(0);
}

Tensor HessianAccumulator::finish() {
  TORCH_INTERNAL_ASSERT(samples_ > 0);
  check_finite_samples(sample_sums());
  sum_.mul_(2.0 / static_cast<double>(samples_));
  // Mirrored panel by panel, which needs no second matrix.
  for (const auto& [begin, end] : panel_ranges()) {
    sum_.slice(0, 0, begin)
        .slice(1, begin, end)
        .copy_(sum_.slice(0, begin, end).slice(1, 0, begin).t());
  }
  samples_ = 0;
  sample_sums_.clear();
  return std::move(sum_);
}

}  // namespace prune::hessian
