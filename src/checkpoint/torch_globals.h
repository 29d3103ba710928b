#pragma once

#include <span>

#include "pickle_value.h"

namespace prune::checkpoint {

/// Accepts only the globals that occur in state dicts. A pickle can name any function of any module and
/// have it called, which lets a weight file take over the machine. We compare names with a fixed list and
/// never import anything.
/// @throws Error(input) with the refused global.
void check_global(const PickleGlobal& global);

/// Result of calling an allowed global with these arguments.
/// @throws Error(input) on wrong arguments.
PickleValue call_global(const PickleHeap& heap, const PickleGlobal& global,
                        std::span<const PickleId> arguments);

/// Storage that a persistent id ('storage', type, key, location, count) refers to.
/// @throws Error(input) on anything else.
PickleStorage storage_of_persistent_id(const PickleHeap& heap, PickleId id);

}  // namespace prune::checkpoint
