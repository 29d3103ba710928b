#include "kth_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "cpu_kernels.h"

namespace prune::solver::detail {
namespace {

struct Block {
  int64_t count;
  int64_t rows;
  std::vector<float> weight_t;
  std::vector<float> scale;

  std::vector<uint64_t> sorted_keys() const {
    std::vector<uint64_t> keys;
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t r = 0; r < rows; ++r) {
        const float w = weight_t[static_cast<size_t>(j * rows + r)];
        keys.push_back(uint64_t{score_bits_of(w * w * scale[static_cast<size_t>(j)])} << 32 |
                       static_cast<uint64_t>(r * count + j));
      }
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }

  uint64_t find(int64_t k) const {
    const ScoreThreshold found = find_kth_score(weight_t.data(), scale.data(), count, rows, k);
    return uint64_t{found.score_bits} << 32 | found.index;
  }
};

template <class Draw>
Block make_block(int64_t count, int64_t rows, Draw&& draw) {
  Block block{count, rows, {}, {}};
  for (int64_t i = 0; i < count * rows; ++i) block.weight_t.push_back(draw());
  for (int64_t j = 0; j < count; ++j) block.scale.push_back(1.0F + static_cast<float>(j % 3));
  return block;
}

void expect_every_rank(const Block& block) {
  const std::vector<uint64_t> keys = block.sorted_keys();
  const auto size = static_cast<int64_t>(keys.size());
  for (const int64_t k :
       {int64_t{1}, int64_t{2}, size / 3, size / 2, size * 7 / 10, size - 1, size}) {
    if (k < 1) continue;
    EXPECT_EQ(block.find(k), keys[static_cast<size_t>(k - 1)])
        << block.count << "x" << block.rows << " k " << k;
  }
}

TEST(KthScore, FindsTheSameAsSorting) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  expect_every_rank(make_block(1, 1, [&] { return normal(random); }));
  expect_every_rank(make_block(3, 17, [&] { return normal(random); }));
  expect_every_rank(make_block(128, 333, [&] { return normal(random); }));
}

TEST(KthScore, TiesAreOrderedByIndex) {
  std::mt19937 random(6);
  expect_every_rank(make_block(100, 200, [&] { return static_cast<float>(random() % 3); }));
  expect_every_rank(make_block(64, 300, [] { return 0.0F; }));
}

// The sampled weights, which bracket the k-th score, all differ from the others here, so the
// bracket is wrong.
TEST(KthScore, SurvivesASampleThatMisleads) {
  int64_t i = 0;
  expect_every_rank(make_block(128, 640, [&] {
    const int64_t stride = 128 * 640 / 4096 | 1;
    return i++ % stride == 0 ? 100.0F : static_cast<float>(i % 977) * 1e-3F;
  }));
}

TEST(KthScore, InfinitiesAndNansHaveAPlaceAtTheEnd) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  Block block = make_block(128, 100, [&] { return normal(random); });
  block.weight_t[17] = std::numeric_limits<float>::infinity();
  block.weight_t[1700] = std::numeric_limits<float>::quiet_NaN();
  block.weight_t[5000] = -std::numeric_limits<float>::quiet_NaN();
  expect_every_rank(block);
}

}  // namespace
}  // namespace prune::solver::detail
