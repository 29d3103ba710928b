#include "check_inputs.h"

#include <prune/core/error.h>

#include "cpu_kernels.h"

namespace prune::solver {
namespace {

Error usage(const std::string& message) { return {ErrorKind::kUsage, message}; }

void check_pattern(const SolverOptions& options, int64_t cols) {
  if (options.prunem == 0) {
    if (!(options.sparsity >= 0.0 && options.sparsity <= 1.0)) {
      throw usage(fmt::format("sparsity {} is not between 0 and 1", options.sparsity));
    }
    return;
  }
  if (options.prunem < 2 || options.prunen < 0 || options.prunen > options.prunem) {
    throw usage(fmt::format("pattern {}:{} is not N of M with 0 <= N <= M and M >= 2",
                            options.prunen, options.prunem));
  }
  if (cols % options.prunem != 0 || options.blocksize % options.prunem != 0) {
    throw usage(fmt::format("pattern {}:{} needs columns ({}) and blocksize ({}) divisible by {}",
                            options.prunen, options.prunem, cols, options.blocksize,
                            options.prunem));
  }
}

void check_quantization(const SolverOptions& options, int64_t cols) {
  const Quantization& quantization = options.quantization;
  if (!quantization.on()) return;
  if (quantization.wbits < 2 || quantization.wbits > 8) {
    throw usage(fmt::format("wbits {} is not between 2 and 8", quantization.wbits));
  }
  if (quantization.group_size == -1) return;
  if (quantization.group_size < 1 || cols % quantization.group_size != 0 ||
      options.blocksize % quantization.group_size != 0) {
    throw usage(fmt::format("group size {} does not divide columns ({}) and blocksize ({})",
                            quantization.group_size, cols, options.blocksize));
  }
}

}  // namespace

void detail::check_inputs(const Tensor& weight, const hessian::HessianFactor& factor,
                          const SolverOptions& options) {
  TORCH_INTERNAL_ASSERT(weight.dim() == 2 && weight.scalar_type() == at::kFloat &&
                        weight.is_contiguous());
  TORCH_INTERNAL_ASSERT(factor.v.dim() == 2 && factor.v.scalar_type() == at::kFloat &&
                        factor.v.size(0) == weight.size(1) && factor.v.size(1) == weight.size(1));
  TORCH_INTERNAL_ASSERT(factor.v.device() == weight.device());
  if (options.blocksize < 1 || options.blocksize > detail::kMaxBlocksize) {
    throw usage(fmt::format("blocksize {} is not between 1 and {}", options.blocksize,
                            detail::kMaxBlocksize));
  }
  check_pattern(options, weight.size(1));
  check_quantization(options, weight.size(1));
  const Tensor diagonal = factor.v.diagonal();
  const Tensor bad = at::isfinite(diagonal).logical_and(diagonal.gt(0)).logical_not();
  if (bad.any().item<bool>()) {
    const int64_t column = bad.nonzero()[0][0].item<int64_t>();
    throw Error(ErrorKind::kNumeric,
                fmt::format("the Hessian's factor has {} on its diagonal at column {}",
                            diagonal[column].item<float>(), column));
  }
}

}  // namespace prune::solver
