#include "prune_columns_detail.h"
#include "support.h"

namespace prune::solver {
namespace {

TEST(PruneColumnsOnCuda, ABuildWithoutItSaysHowToGetIt) {
  Tensor weight;
  EXPECT_EQ(
      test::error_of(ErrorKind::kDevice, [&] { detail::prune_columns_cuda_(weight, {}, {}); }),
      "built without CUDA: use --device cpu, or build with -DPRUNE_CUDA=ON");
}

}  // namespace
}  // namespace prune::solver
