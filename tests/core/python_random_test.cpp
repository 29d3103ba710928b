#include <gtest/gtest.h>
#include <prune/core/python_random.h>

#include <vector>

namespace prune {
namespace {

std::vector<int64_t> draws(uint64_t seed, int64_t first, int64_t last, size_t count) {
  PythonRandom random(seed);
  std::vector<int64_t> result(count);
  for (int64_t& value : result) value = random.randint(first, last);
  return result;
}

// Expected values: python3 -c "import random; random.seed(S); print([random.randint(A, B) for _ in ...])"
TEST(PythonRandom, DrawsTheSameAsCPython) {
  EXPECT_EQ(draws(0, 0, 356316, 6),
            (std::vector<int64_t>{201979, 220500, 21225, 135746, 268055, 254766}));
  EXPECT_EQ(draws(1, 0, 999, 5), (std::vector<int64_t>{137, 582, 867, 821, 782}));
  EXPECT_EQ(draws(123456789012345, -5, 5, 8), (std::vector<int64_t>{5, -2, -1, 1, -2, 3, -4, 4}));
}

TEST(PythonRandom, StaysEqualBeyondOneRefillOfTheState) {
  EXPECT_EQ(draws(7, 0, 1 << 30, 2001).back(), 1059980558);
}

TEST(PythonRandom, OneValueRange) { EXPECT_EQ(draws(3, 4, 4, 3), (std::vector<int64_t>{4, 4, 4})); }

}  // namespace
}  // namespace prune
