#include "cpu_kernels.h"

namespace prune::solver::detail {
namespace {

const CpuKernels& choose_kernels() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
    return cpu_kernels_avx512();
  }
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return avx2 ? cpu_kernels_avx2() : cpu_kernels_portable();
}

}  // namespace

const CpuKernels& cpu_kernels() {
  static const CpuKernels& kernels = choose_kernels();
  return kernels;
}

}  // namespace prune::solver::detail
