#include <prune/core/error.h>
#include <prune/generation/sampler.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support.h"

namespace prune::generation {
namespace {

// Shares of 0.5, 0.3, 0.15 and 0.05, not in this sequence.
Tensor logits() { return at::tensor({0.15, 0.5, 0.05, 0.3}, at::kDouble).log().to(at::kFloat); }

std::vector<double> shares_of_draws(const Sampling& sampling, int64_t draws) {
  Sampler choose(sampling);
  std::vector<double> shares(4, 0.0);
  for (int64_t i = 0; i < draws; ++i) {
    shares[static_cast<size_t>(choose(logits()))] += 1.0 / static_cast<double>(draws);
  }
  return shares;
}

// Five standard deviations of a share of 4000 draws.
constexpr double kNear = 0.04;

TEST(Sampler, TakesTheMostProbableAtTemperatureZero) {
  EXPECT_EQ(Sampler({})(logits()), 1);
  EXPECT_EQ(Sampler({})(logits().to(at::kBFloat16)), 1);
}

TEST(Sampler, DrawsByProbability) {
  const auto shares = shares_of_draws({.temperature = 1.0}, 4000);
  EXPECT_NEAR(shares[0], 0.15, kNear);
  EXPECT_NEAR(shares[1], 0.5, kNear);
  EXPECT_NEAR(shares[2], 0.05, kNear);
  EXPECT_NEAR(shares[3], 0.3, kNear);
}

TEST(Sampler, DividesLogitsByTheTemperature) {
  // Shares are proportional to the squares.
  const auto shares = shares_of_draws({.temperature = 0.5}, 4000);
  EXPECT_NEAR(shares[1], 0.25 / 0.365, kNear);
  EXPECT_NEAR(shares[3], 0.09 / 0.365, kNear);
}

TEST(Sampler, DrawsAmongTheFewestThatReachTopP) {
  const auto two = shares_of_draws({.temperature = 1.0, .top_p = 0.75}, 4000);
  EXPECT_EQ(two[0], 0.0);
  EXPECT_EQ(two[2], 0.0);
  EXPECT_NEAR(two[1], 0.625, kNear);
  EXPECT_NEAR(shares_of_draws({.temperature = 1.0, .top_p = 0.4}, 100)[1], 1.0, 1e-9);
}

TEST(Sampler, RepeatsItsDrawsForASeed) {
  const auto draws = [](uint64_t seed) {
    Sampler choose({.temperature = 1.0, .seed = seed});
    std::vector<int64_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(choose(logits()));
    return ids;
  };
  EXPECT_EQ(draws(3), draws(3));
  EXPECT_NE(draws(3), draws(4));
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  Tensor bad = logits();
  bad[2] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(Sampler({})(bad), Error);
}

}  // namespace
}  // namespace prune::generation
