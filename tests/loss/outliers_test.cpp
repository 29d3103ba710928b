#include <prune/loss/outliers.h>

#include "support.h"

namespace prune::loss {
namespace {

TEST(OutlierShare, ComparesWithTheMeanOfTheWholeBlock) {
  // Scores are 1 except for one 20 in the first layer; five times the mean (7 + 20) / 8 is 16.9.
  const WeightAndInput first{at::tensor({1.0F, -10.0F, 1.0F, 0.5F}).view({2, 2}),
                             at::tensor({1.0F, 2.0F})};
  const WeightAndInput second{at::tensor({-0.25F, 0.25F, 0.25F, 0.25F}).view({2, 2}),
                              at::tensor({4.0F, 4.0F})};
  EXPECT_DOUBLE_EQ(outlier_share({first, second}), 1.0 / 8);
  EXPECT_DOUBLE_EQ(outlier_share({second}), 0.0);
  EXPECT_DOUBLE_EQ(outlier_share({}), 0.0);
}

}  // namespace
}  // namespace prune::loss
