#include "cpu_kernels.h"

#include <prune/kernels/instruction_set.h>

namespace prune::solver::detail {

const CpuKernels& cpu_kernels() {
  switch (kernels::instruction_set()) {
    case kernels::InstructionSet::kAvx512:
      return cpu_kernels_avx512();
    case kernels::InstructionSet::kAvx2:
      return cpu_kernels_avx2();
    case kernels::InstructionSet::kPortable:
      break;
  }
  return cpu_kernels_portable();
}

}  // namespace prune::solver::detail
