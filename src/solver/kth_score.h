#pragma once

#include <bit>
#include <cstdint>

namespace prune::solver::detail {

/// The bit pattern of a score. Patterns of non-negative floats are ordered like the floats;
/// clearing the sign sorts a NaN above infinity.
inline uint32_t score_bits_of(float score) { return std::bit_cast<uint32_t>(score) & 0x7fffffffU; }

/// The last pruned weight of a block. All weights with a smaller score are pruned, and those with
/// the same score up to its index.
struct ScoreThreshold {
  uint32_t score_bits = 0;  ///< score_bits_of() its score
  uint32_t index = 0;       ///< row * count + column within the block
};

/// Finds the threshold that prunes exactly `k` weights of a block.
/// @param weight_t [count, rows] float32 contiguous, the block transposed.
/// @param scale    [count] V_jj², so that the score is w² scale_j = w² / U_jj².
/// @param k        1 <= k <= count * rows.
ScoreThreshold find_kth_score(const float* weight_t, const float* scale, int64_t count,
                              int64_t rows, int64_t k);

}  // namespace prune::solver::detail
