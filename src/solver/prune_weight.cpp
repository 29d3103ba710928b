#include <prune/core/error.h>
#include <prune/solver/prune_columns.h>
#include <prune/solver/prune_weight.h>

#include <algorithm>

#include "alps.h"
#include "refine.h"

namespace prune::solver {
namespace {

// ALPS ends near the best kept weights; these steps cost a tenth of the search. On the layers of opt-books-6m they
// take the loss from 5 % above the best for the mask to 0.3 %.
constexpr int64_t kRefineAfterAlps = 5;

// Columns of `weight` are in the factor's permutation.
PruneResult solve_(Tensor& weight, const hessian::HessianFactor& factor,
                   const SolverOptions& options) {
  if (options.solver == Algorithm::kSparseGpt && options.refine == 0) {
    return prune_columns_(weight, factor, options);
  }
  const Tensor dense = weight.clone();
  const bool alps = options.solver == Algorithm::kAlps;
  PruneResult result =
      alps ? detail::alps_(weight, factor, options) : prune_columns_(weight, factor, options);
  detail::refine_(weight, dense, factor,
                  alps ? std::max(options.refine, kRefineAfterAlps) : options.refine, result);
  return result;
}

// The codes of a weight that the solver has rounded to its grids.
QuantizedWeight codes_of(const Tensor& weight, const PruneResult& result, at::ScalarType dtype) {
  const int64_t group_size = weight.size(1) / result.scale.size(1);
  // The quotient is a whole number up to float32's rounding.
  const Tensor steps = weight.unflatten(1, {-1, group_size}).div(result.scale.unsqueeze(2)).round();
  return {.codes = steps.add(result.zero.unsqueeze(2)).view(weight.sizes()).to(at::kChar),
          .scale = result.scale.to(dtype),
          .zero = result.zero.to(at::kChar)};
}

void check_fits(const Tensor& stored) {
  if (at::isfinite(stored).all().item<bool>()) return;
  throw Error(ErrorKind::kNumeric, fmt::format("the pruned weights do not fit into {}",
                                               dtype_name(stored.scalar_type())));
}

}  // namespace

PruneResult prune_weight_(Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options) {
  // Refining would move weights off the grid that they were rounded to.
  if (options.quantization.on() &&
      (options.solver != Algorithm::kSparseGpt || options.refine != 0)) {
    throw Error(ErrorKind::kUsage,
                "--wbits below 16 goes with --solver sparsegpt and without --refine only");
  }
  const Tensor& permutation = factor.permutation;
  if (!permutation.defined()) return solve_(weight, factor, options);
  if (options.prunem != 0) {
    throw Error(ErrorKind::kUsage,
                fmt::format("pattern {}:{} does not go with a permuted Hessian (act order)",
                            options.prunen, options.prunem));
  }
  Tensor permuted = weight.index_select(1, permutation);
  PruneResult result = solve_(permuted, factor, options);
  weight.index_copy_(1, permutation, permuted);
  result.mask = at::empty_like(result.mask).index_copy_(1, permutation, result.mask);
  return result;
}

StoredResult prune_stored_(const Tensor& weight, const hessian::HessianFactor& factor,
                           const SolverOptions& options, at::ScalarType stored_dtype) {
  Tensor pruned = weight.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  SolverOptions stored_options = options;
  stored_options.scale_dtype = stored_dtype;
  PruneResult result = prune_weight_(pruned, factor, stored_options);
  StoredResult solved{.stored = {}};
  if (options.quantization.on()) {
    solved.codes = codes_of(pruned, result, stored_dtype);
    solved.stored = dequantize(solved.codes);
    check_fits(solved.stored);
  } else {
    solved.stored = round_to(stored_dtype, pruned);
  }
  solved.zeros = solved.stored.numel() - solved.stored.count_nonzero().item<int64_t>();
  solved.result = std::move(result);
  return solved;
}

// The bit pattern 1 is the smallest positive float16 and bfloat16. Refined weights may be that
// small.
Tensor round_to(at::ScalarType dtype, const Tensor& weight) {
  Tensor stored = weight.to(dtype);
  if (stored.element_size() == 2) {
    const Tensor lost = stored.eq(0).logical_and_(weight.ne(0));
    stored.view(at::kShort).masked_fill_(lost, 1);
  }
  check_fits(stored);
  return stored;
}

}  // namespace prune::solver
