#include "cpu_kernels_body.h"

namespace prune::solver::detail {

const CpuKernels& cpu_kernels_portable() {
  static constexpr CpuKernels kKernels = {&column_loop, &collect_scores};
  return kKernels;
}

}  // namespace prune::solver::detail
