#pragma once

#include <array>
#include <cstdint>

namespace prune {

/// The part of CPython's `random` that SparseGPT's loaders use: `random.seed(n)` and
/// `random.randint(a, b)`. The same seed gives the same draws, hence SparseGPT's calibration samples.
/// Source: CPython Modules/_randommodule.c (MT19937, init_by_array) and Lib/random.py.
class PythonRandom {
 public:
  explicit PythonRandom(uint64_t seed);

  /// Uniform on [first, last], both ends included; last - first < 2^32 - 1.
  int64_t randint(int64_t first, int64_t last);

 private:
  uint32_t next_u32();

  static constexpr int kWords = 624;
  std::array<uint32_t, kWords> state_{};
  int index_ = kWords;
};

}  // namespace prune
