#pragma once

#include <cstddef>
#include <span>

#include "pickle_value.h"

namespace prune::checkpoint {

/// All values of a pickle and the index of its result.
struct Unpickled {
  PickleHeap heap;
  PickleId root = 0;
};

/// Reads the pickle of a state dict, protocols 2 to 4. Opcodes and globals outside a short list are errors;
/// no code is imported or executed (src/checkpoint/README.md, "pytorch_model.bin").
/// @throws Error(input) with the byte of the pickle, without the file's name.
Unpickled unpickle(std::span<const std::byte> pickle);

}  // namespace prune::checkpoint
