#include <prune/report/inspect.h>

#include "support.h"

namespace prune::report {
namespace {

using testing::ElementsAre;

TEST(ZeroPattern, IsTheStrictestThatEveryGroupSatisfies) {
  const auto of = [](std::vector<float> row) {
    return zero_pattern(at::tensor(row).view({1, -1}));
  };
  EXPECT_EQ(of({0, 1, 2, 0, 0, 3, 4, 0}), "1:2");
  EXPECT_EQ(of({0, 0, 2, 1, 5, 3, 0, 0}), "2:4");
  EXPECT_EQ(of({0, 0, 0, 0, 5, 3, 1, 2}), "4:8");
  EXPECT_EQ(of({0, 0, 0, 1, 5, 3, 1, 2}), "") << "one zero too few";
  EXPECT_EQ(of({0, 1, 0, 1, 0, 1}), "1:2") << "6 columns are not a multiple of 4";
  // Groups end with the row: columns are not counted across two rows.
  EXPECT_EQ(zero_pattern(at::tensor({1.F, 1.F, 0.F, 0.F, 1.F, 1.F}).view({2, 3})), "");
}

TEST(WeightHistogram, CountsKeptWeightsInQuartersOfTheirRootMeanSquare) {
  // The root mean square of 1 and -1 is 1, so both lie in bin 4.
  EXPECT_THAT(weight_histogram(at::tensor({1.F, 0.F, -1.F, 0.F}).view({2, 2})),
              ElementsAre(0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0));
  // 99 weights of 0.1 and one of 100 have a root mean square of 10.0005.
  Tensor weight = at::full({10, 10}, 0.1);
  weight[9][9] = 100;
  EXPECT_THAT(weight_histogram(weight), ElementsAre(99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(weight_histogram(at::zeros({2, 2})), testing::Each(0));
}

}  // namespace
}  // namespace prune::report
