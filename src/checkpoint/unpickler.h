#pragma once

#include <cstddef>
#include <span>

#include "pickle_value.h"

namespace prune::checkpoint {

/// A pickle, read: its values and which of them is the result.
struct Unpickled {
  PickleHeap heap;
  PickleId root = 0;
};

/// Reads the pickle of a state dict (protocols 2 to 4, FORMATS §4.2). Opcodes and globals outside a
/// short list are errors; nothing is imported or called.
/// @throws Error(input) with the byte of the pickle, without the file's name.
Unpickled unpickle(std::span<const std::byte> pickle);

}  // namespace prune::checkpoint
