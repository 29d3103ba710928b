#pragma once

namespace prune::kernels {

/// The vector instructions that our own CPU kernels are compiled for.
enum class InstructionSet { kPortable, kAvx2, kAvx512 };

/// The widest of them that this processor runs.
InstructionSet instruction_set();

}  // namespace prune::kernels
