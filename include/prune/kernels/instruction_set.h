#pragma once

namespace prune::kernels {

/// The vector instructions that our own CPU kernels are compiled for.
enum class InstructionSet { kPortable, kAvx2, kAvx512 };

/// The widest of them that this processor runs.
InstructionSet instruction_set();

/// True if it is AVX-512 and this processor also spreads and multiplies bytes (VBMI2, VNNI).
bool expands_bytes();

/// True if this processor multiplies bfloat16 numbers by instructions of its own (AVX512-BF16, AMX).
bool multiplies_bfloat16();

}  // namespace prune::kernels
