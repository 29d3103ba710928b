#include "kth_score.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "cpu_kernels.h"

namespace prune::solver::detail {
namespace {

constexpr int64_t kSample = 4096;

class BlockScores {
 public:
  BlockScores(const float* weight_t, const float* scale, int64_t count, int64_t rows)
      : weight_t_(weight_t), scale_(scale), count_(count), rows_(rows) {}

  int64_t size() const { return count_ * rows_; }

  uint32_t bits(int64_t position) const {
    return bits(weight_t_[position], scale_[position / rows_]);
  }

  /// A range that very likely holds the k-th score: four standard deviations to both sides of the
  /// k-th in an evenly spaced sample.
  ScoreRange guess_range(int64_t k) const {
    if (size() <= 2 * kSample) return {};
    const int64_t stride = size() / kSample | 1;  // odd, so that it does not align with rows
    std::vector<uint32_t> sample;
    sample.reserve(kSample + 1);
    for (int64_t i = 0; i < size(); i += stride) sample.push_back(bits(i));
    const double n = static_cast<double>(sample.size());
    const double share = static_cast<double>(k) / static_cast<double>(size());
    const double slack = 4 * std::sqrt(n * share * (1 - share)) + 2;
    const auto at = [&](double rank) {
      const auto index = static_cast<std::ptrdiff_t>(rank);
      std::nth_element(sample.begin(), sample.begin() + index, sample.end());
      return sample[static_cast<size_t>(index)];
    };
    ScoreRange range;
    if (share * n - slack > 0) range.low = at(share * n - slack);
    if (share * n + slack < n) range.high = at(share * n + slack);
    return range;
  }

  /// Writes one key for each score in the range, score first and index second, so that ties are
  /// ordered by index. Counts the scores below the range. @return number of keys
  int64_t collect(const ScoreRange& range, uint64_t* keys, int64_t& below) const {
    int64_t found = 0;
    below = 0;
    for (int64_t column = 0; column < count_; ++column) {
      found += cpu_kernels().collect_scores({.weights = weight_t_ + column * rows_,
                                             .scale = scale_[column],
                                             .rows = rows_,
                                             .index = column,
                                             .count = count_},
                                            range, keys + found, below);
    }
    return found;
  }

 private:
  static uint32_t bits(float weight, float scale) { return score_bits_of(weight * weight * scale); }

  const float* weight_t_;
  const float* scale_;
  int64_t count_;
  int64_t rows_;
};

}  // namespace

ScoreThreshold find_kth_score(const float* weight_t, const float* scale, int64_t count,
                              int64_t rows, int64_t k) {
  const BlockScores scores(weight_t, scale, count, rows);
  const auto keys = std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(scores.size()));
  int64_t below = 0;
  int64_t found = scores.collect(scores.guess_range(k), keys.get(), below);
  if (k <= below || k > below + found) found = scores.collect({}, keys.get(), below);

  uint64_t* const kth = keys.get() + (k - below - 1);
  std::nth_element(keys.get(), kth, keys.get() + found);
  return {static_cast<uint32_t>(*kth >> 32), static_cast<uint32_t>(*kth)};
}

}  // namespace prune::solver::detail
