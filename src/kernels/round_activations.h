#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "rounding_step.h"

namespace prune::kernels::detail {
namespace {  // a copy for each instruction set

/// TileKernels::round() without vectors.
[[maybe_unused]] void round_activations(const float* x, int64_t group, int64_t tokens, int offset,
                                        const RoundedActivations& to) {
  for (int64_t u = 0; u < tokens; ++u) {
    float largest = 0.0F;
    float poison = 0.0F;
    for (int64_t c = 0; c < group; ++c) {
      largest = std::fmax(largest, std::fabs(x[c * tokens + u]));
      poison += x[c * tokens + u] * 0.0F;
    }
    const RoundingStep step(largest, poison);
    to.step[u] = step.size;
    int32_t high_sum = 0;
    int32_t low_sum = 0;
    for (int64_t c = 0; c < group; c += 4) {
      int8_t highs[4], lows[4];
      for (int64_t j = 0; j < 4; ++j) {
        const auto whole =
            static_cast<int32_t>(std::lrintf(x[(c + j) * tokens + u] * step.inverse));
        const int32_t high = (whole + 128) >> 8;
        const int32_t low = whole - 256 * high;
        highs[j] = static_cast<int8_t>(high);
        lows[j] = static_cast<int8_t>(low);
        high_sum += high;
        low_sum += low;
      }
      std::memcpy(to.high + c / 4 * tokens + u, highs, sizeof(highs));
      std::memcpy(to.low + c / 4 * tokens + u, lows, sizeof(lows));
    }
    to.high_start[u] = -offset * high_sum;
    to.low_start[u] = -offset * low_sum;
  }
}

}  // namespace
}  // namespace prune::kernels::detail
