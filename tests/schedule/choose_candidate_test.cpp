#include <gtest/gtest.h>
#include <prune/schedule/choose_candidate.h>

#include <cmath>

namespace prune::schedule {
namespace {

using Losses = std::vector<std::vector<double>>;
constexpr size_t kAsked = 1;

// The differences 0.12, -0.02 and 0.02 have mean 0.04 and squared deviations 0.0104, over 3 x 2.
TEST(LossDifference, HasTheMeanAndItsStandardError) {
  const LossDifference off = loss_difference({3.5, 4.5, 5.5}, {3.38, 4.52, 5.48});
  EXPECT_NEAR(off.mean, 0.04, 1e-12);
  EXPECT_NEAR(off.standard_error, std::sqrt(0.0104 / 6), 1e-12);
}

TEST(ChooseCandidate, TakesOneThatIsBetterInEverySample) {
  const Losses losses = {{4.0, 5.0, 6.0}, {3.5, 4.4, 5.5}, {3.4, 4.31, 5.4}};
  EXPECT_EQ(choose_candidate(losses, kAsked), 2U);
}

// The difference to the last candidate is 0.04 with standard error 0.0416; in the second case 0.05
// with 0.0361.
TEST(ChooseCandidate, StaysWithTheOneAskedForWithinAStandardError) {
  EXPECT_EQ(choose_candidate({{4.0, 5.0, 6.0}, {3.5, 4.5, 5.5}, {3.38, 4.52, 5.48}}, kAsked),
            kAsked);
  EXPECT_EQ(choose_candidate({{4.0, 5.0, 6.0}, {3.5, 4.5, 5.5}, {3.38, 4.5, 5.47}}, kAsked), 2U);
}

TEST(ChooseCandidate, TakesUniformWhereItIsClearlyBetter) {
  EXPECT_EQ(choose_candidate({{3.0, 4.0, 5.0}, {3.5, 4.4, 5.5}, {3.6, 4.5, 5.6}}, kAsked), 0U);
}

// However small the difference is.
TEST(ChooseCandidate, NeverTakesOneAboveUniform) {
  EXPECT_EQ(choose_candidate({{3.0, 5.0, 4.0}, {3.3, 4.4, 4.31}, {3.6, 4.5, 5.6}}, kAsked), 0U);
  EXPECT_EQ(choose_candidate({{3.0, 5.0, 4.0}, {3.3, 4.4, 4.31}, {3.0, 4.5, 4.2}}, kAsked), 2U);
}

TEST(ChooseCandidate, StaysAmongEqualOnes) {
  EXPECT_EQ(choose_candidate({{3.0, 4.0}, {3.0, 4.0}, {3.0, 4.0}}, kAsked), kAsked);
}

}  // namespace
}  // namespace prune::schedule
