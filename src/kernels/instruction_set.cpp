#include <prune/kernels/instruction_set.h>

namespace prune::kernels {
namespace {

InstructionSet detect() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
    return InstructionSet::kAvx512;
  }
  // Every processor with AVX2 also has F16C and POPCNT.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return avx2 ? InstructionSet::kAvx2 : InstructionSet::kPortable;
}

}  // namespace

InstructionSet instruction_set() {
  static const InstructionSet kDetected = detect();
  return kDetected;
}

bool expands_bytes() {
  return instruction_set() == InstructionSet::kAvx512 && __builtin_cpu_supports("avx512vbmi2") &&
         __builtin_cpu_supports("avx512vnni");
}

bool multiplies_bfloat16() {
  return instruction_set() == InstructionSet::kAvx512 && __builtin_cpu_supports("avx512bf16");
}

}  // namespace prune::kernels
