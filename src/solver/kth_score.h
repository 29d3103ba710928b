#pragma once

#include <bit>
#include <cstdint>

namespace prune::solver::detail {

/// The bit pattern of a non-negative float is ordered like the float. The sign is cleared so that a
/// NaN, too, has a place (behind infinity) rather than an index out of range.
inline uint32_t score_bits_of(float score) { return std::bit_cast<uint32_t>(score) & 0x7fffffffU; }

/// The last weight of a block that is pruned: everything with a smaller score, or the same score and
/// an index that is not larger, goes with it.
struct ScoreThreshold {
  uint32_t score_bits = 0;  ///< bit pattern of the non-negative float score, ordered like the score
  uint32_t index = 0;       ///< row * count + column within the block
};

/// Finds the threshold that prunes exactly `k` weights of a block.
/// @param weight_t [count, rows] float32, the block transposed, rows contiguous.
/// @param scale    [count] V_jj², so that the score is w² scale_j = w² / U_jj².
/// @param k        1 <= k <= count * rows.
ScoreThreshold find_kth_score(const float* weight_t, const float* scale, int64_t count,
                              int64_t rows, int64_t k);

}  // namespace prune::solver::detail
