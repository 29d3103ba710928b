#include <prune/solver/prune_columns.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "check_inputs.h"
#include "prune_columns_detail.h"

namespace prune::solver {

PruneResult prune_columns_(Tensor& weight, const hessian::HessianFactor& factor,
                           const SolverOptions& options) {
  detail::check_inputs(weight, factor, options);
  if (options.prunem == 0 && !options.quantization.on() &&
      detail::block_zeros(weight.size(0), 0, weight.size(1), options.sparsity) == 0) {
    // The loop would turn a -0 into a 0.
    const Tensor mask = options.keep_zeros ? weight.eq(0) : at::zeros_like(weight, at::kBool);
    return {.mask = mask, .zeros = mask.sum().item<int64_t>(), .loss = 0.0};
  }
  PruneResult result = weight.is_cuda() ? detail::prune_columns_cuda_(weight, factor, options)
                                        : detail::prune_columns_cpu_(weight, factor, options);
  // Two float32 sums may differ in the last digit, but a part must not exceed the total.
  result.loss_rounding = std::min(result.loss_rounding, result.loss);
  return result;
}

Tensor detail::live_diagonal(const hessian::HessianFactor& factor) {
  return factor.v.diagonal().masked_fill(factor.dead, 0.0).contiguous();
}

detail::KeptZeros::KeptZeros(const Tensor& weight, const SolverOptions& options) {
  if (!options.keep_zeros) return;
  const Tensor mask = weight.eq(0);
  const Tensor before = mask.sum(0).cumsum(0).cpu();
  if (before[-1].item<int64_t>() == 0) return;
  mask_ = mask;
  before_.assign(1, 0);
  const auto* counts = before.const_data_ptr<int64_t>();
  before_.insert(before_.end(), counts, counts + before.numel());
}

int64_t detail::KeptZeros::count(int64_t begin, int64_t end) const {
  if (!any()) return 0;
  return before_[static_cast<size_t>(end)] - before_[static_cast<size_t>(begin)];
}

Tensor detail::KeptZeros::without(const Tensor& entry, int64_t begin, int64_t end) const {
  if (!any()) return entry;
  return entry.masked_fill(mask_.slice(1, begin, end), std::numeric_limits<float>::infinity());
}

int64_t detail::block_zeros(int64_t rows, int64_t begin, int64_t end, double sparsity) {
  const auto zeros_before = [&](int64_t column) {
    return std::llround(sparsity * static_cast<double>(rows * column));
  };
  return zeros_before(end) - zeros_before(begin);
}

}  // namespace prune::solver
