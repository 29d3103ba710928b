#include <prune/solver/prune_columns.h>

#include <algorithm>
#include <cmath>

#include "check_inputs.h"
#include "prune_columns_detail.h"

namespace prune::solver {

PruneResult prune_columns_(Tensor& weight, const hessian::HessianFactor& factor,
                           const SolverOptions& options) {
  detail::check_inputs(weight, factor, options);
  if (options.prunem == 0 && !options.quantization.on() &&
      detail::block_zeros(weight.size(0), 0, weight.size(1), options.sparsity) == 0) {
    // The loop would turn a -0 into a 0.
    return {.mask = at::zeros_like(weight, at::kBool), .zeros = 0, .loss = 0.0};
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

int64_t detail::block_zeros(int64_t rows, int64_t begin, int64_t end, double sparsity) {
  const auto zeros_before = [&](int64_t column) {
    return std::llround(sparsity * static_cast<double>(rows * column));
  };
  return zeros_before(end) - zeros_before(begin);
}

}  // namespace prune::solver
