#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace prune {

/// The part of CPython's `random` that draws calibration samples: `random.seed(n)`, `random.randint(a, b)` and
/// `random.shuffle()`. The same seed gives the same draws, hence SparseGPT's calibration samples.
/// Source: CPython Modules/_randommodule.c (MT19937, init_by_array) and Lib/random.py.
class PythonRandom {
 public:
  explicit PythonRandom(uint64_t seed);

  /// Uniform on [first, last], both ends included; last - first < 2^32 - 1.
  int64_t randint(int64_t first, int64_t last);

  /// list(range(n)) after random.shuffle().
  std::vector<int64_t> shuffled_range(int64_t n);

 private:
  uint32_t next_u32();

  static constexpr int kWords = 624;
  std::array<uint32_t, kWords> state_{};
  int index_ = kWords;
};

}  // namespace prune
