#include <prune/kernels/kept.h>
#include <prune/recovery/kept_layer.h>

#include "support.h"

namespace prune::recovery {
namespace {

// 3 x 100 elements fill four words and a part of a fifth.
Tensor sparse_weight(at::ScalarType dtype) {
  at::manual_seed(1);
  const Tensor weight = at::randn({3, 100});
  return weight.mul(at::rand({3, 100}).gt(0.6)).to(dtype);
}

class KeptOf : public testing::TestWithParam<at::ScalarType> {};

TEST_P(KeptOf, GatheringAndScatteringAreInverse) {
  const Tensor weight = sparse_weight(GetParam());
  const Tensor bits = kernels::kept_bits(weight);
  const Tensor kept = kernels::gather_kept(bits, weight);
  EXPECT_EQ(kernels::count_kept(bits), weight.ne(0).sum().item<int64_t>());
  EXPECT_TRUE(at::equal(kept, weight.masked_select(weight.ne(0)).to(at::kFloat)));
  EXPECT_TRUE(at::equal(kernels::scatter_kept(bits, kept, weight.sizes(), GetParam()), weight));
}
INSTANTIATE_TEST_SUITE_P(Dtypes, KeptOf,
                         testing::Values(at::kFloat, at::kBFloat16, at::kHalf, at::kDouble));

TEST(KeptLayer, ZerosStayZeros) {
  const Tensor weight = sparse_weight(at::kFloat);
  const Tensor bits = kernels::kept_bits(weight);
  KeptLayer layer(bits, {3, 100}, at::empty({3, kernels::count_kept(bits)}));
  layer.set(weight);
  EXPECT_TRUE(at::equal(layer.weight(at::kFloat), weight));
  layer.step_(at::ones({layer.kept()}), {.number = 1, .rate = 0.5});
  const Tensor after = layer.weight(at::kFloat);
  EXPECT_TRUE(at::equal(after.eq(0), weight.eq(0)));
  // The first step of Adam is the rate, whatever the gradient.
  EXPECT_LT((after - weight + 0.5).masked_select(weight.ne(0)).abs().max().item<double>(), 1e-5);
}

}  // namespace
}  // namespace prune::recovery
