#pragma once

#include <span>

#include "pickle_value.h"

namespace prune::checkpoint {

/// The names a state dict may mention. A pickle may name any function of any module and have it
/// called: that is how a weight file takes over a machine. These few are known by name and rebuilt
/// here; nothing is ever looked up.
/// @throws Error(input) naming what is refused.
void check_global(const PickleGlobal& global);

/// What calling an allowed global with these arguments gives.
/// @throws Error(input) on wrong arguments.
PickleValue call_global(const PickleHeap& heap, const PickleGlobal& global,
                        std::span<const PickleId> arguments);

/// The storage behind a persistent id ('storage', type, key, location, count).
/// @throws Error(input) on anything else.
PickleStorage storage_of_persistent_id(const PickleHeap& heap, PickleId id);

}  // namespace prune::checkpoint
