#include "kth_score.h"

#include <algorithm>
#include <array>
#include <vector>

namespace prune::solver::detail {
namespace {

// The sign is always 0: the next 11 bits are the exponent and the three highest bits of the mantissa.
constexpr int kBinShift = 20;
constexpr size_t kBins = size_t{1} << (31 - kBinShift);

}  // namespace

ScoreThreshold find_kth_score(const float* weight_t, const float* scale, int64_t count, int64_t rows,
                              int64_t k) {
  // One pass finds the bin of the k-th score, a second collects that bin, and only the few weights in
  // it are ordered.
  std::array<int64_t, kBins> histogram{};
  const auto score_bits = [&](int64_t column, int64_t row) {
    const float w = weight_t[column * rows + row];
    return score_bits_of(w * w * scale[column]);
  };
  for (int64_t column = 0; column < count; ++column) {
    for (int64_t row = 0; row < rows; ++row) ++histogram[score_bits(column, row) >> kBinShift];
  }
  int64_t rank = k;  // of the wanted weight among those from its bin on, starting at 1
  uint32_t bin = 0;
  while (rank > histogram[bin]) rank -= histogram[bin++];

  // Score and index in one key: ties are ordered by index.
  std::vector<uint64_t> candidates;
  candidates.reserve(static_cast<size_t>(histogram[bin]));
  for (int64_t column = 0; column < count; ++column) {
    for (int64_t row = 0; row < rows; ++row) {
      const uint32_t bits = score_bits(column, row);
      if (bits >> kBinShift == bin) {
        candidates.push_back(uint64_t{bits} << 32 | static_cast<uint64_t>(row * count + column));
      }
    }
  }
  const auto kth = candidates.begin() + rank - 1;
  std::nth_element(candidates.begin(), kth, candidates.end());
  return {static_cast<uint32_t>(*kth >> 32), static_cast<uint32_t>(*kth)};
}

}  // namespace prune::solver::detail
