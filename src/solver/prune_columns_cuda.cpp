#include <ATen/Context.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "prune_columns_blocks.h"

namespace prune::solver::detail {
namespace {

struct CudaKernels {
  void* stream;

  int64_t threshold_workspace_bytes() const { return detail::threshold_workspace_bytes(); }
  const char* choose_threshold(const ThresholdJob& job) const {
    return launch_choose_threshold(job, stream);
  }
  const char* prune_panel(const PanelJob& job) const { return launch_prune_panel(job, stream); }
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

PruneResult prune_columns_cuda_(Tensor& weight, const hessian::HessianFactor& factor,
                                const SolverOptions& options) {
  const c10::cuda::CUDAGuard on_device(weight.device());
  // TF32 rounds the factors of a product to 10 bits, and the errors of all blocks accumulate in
  // `carried`.
  const at::NoTF32Guard no_tf32;
  try {
    const CudaKernels kernels{c10::cuda::getCurrentCUDAStream().stream()};
    return prune_columns_by_blocks_(weight, factor, options, kernels);
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::kDevice, first_line(error.what_without_backtrace()));
  }
}

}  // namespace prune::solver::detail
