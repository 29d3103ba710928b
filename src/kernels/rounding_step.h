#pragma once

#include "tiles.h"

namespace prune::kernels::detail {
namespace {  // a copy for each instruction set

/// The step of a group of activations.
struct RoundingStep {
  /// @param largest their largest magnitude
  /// @param poison 0, or NaN if one of them is not finite; then so is the step, and what follows from it
  constexpr RoundingStep(float largest, float poison)
      : size(largest / static_cast<float>(kLargestActivation) + poison),
        // Numbers whose inverse overflows are 0.
        inverse(size > 1e-30F ? static_cast<float>(kLargestActivation) / largest : 0.0F) {}

  float size;
  float inverse;
};

}  // namespace
}  // namespace prune::kernels::detail
