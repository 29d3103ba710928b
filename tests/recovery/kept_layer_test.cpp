#include <prune/kernels/kept.h>
#include <prune/recovery/kept_layer.h>

#include <cmath>

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
  const Tensor kept = weight.masked_select(weight.ne(0));
  const double length = 0.5 * std::sqrt(kept.square().mean().item<double>());
  EXPECT_LT((after - weight + length).masked_select(weight.ne(0)).abs().max().item<double>(), 1e-5);
}

// LibTorch splits operators on so many weights among threads; the clipping and the rate look at all of them.
TEST(KeptLayer, StepOfALargeLayerIsThatOfItsFormula) {
  at::manual_seed(2);
  const Tensor weight = at::randn({500, 500});
  const Tensor bits = kernels::kept_bits(weight);
  KeptLayer layer(bits, {500, 500}, at::empty({3, weight.numel()}));
  layer.set(weight);
  Tensor w = weight.flatten().to(at::kDouble);
  Tensor m = at::zeros_like(w);
  Tensor v = at::zeros_like(w);
  for (int64_t number = 1; number <= 3; ++number) {
    const Tensor gradient = at::randn({weight.numel()}) * static_cast<double>(number * number);
    layer.step_(gradient, {.number = number, .rate = 0.01});
    const Tensor g = gradient.to(at::kDouble);
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g.square();
    const Tensor root = (v / (1.0 - std::pow(0.95, number))).sqrt();
    const double clip = std::max(1.0, (g / root).square().mean().sqrt().item<double>());
    const double rate = 0.01 * w.square().mean().sqrt().item<double>() / clip;
    w = w - rate * (m / (1.0 - std::pow(0.9, number))) / (root + 1e-8);
    EXPECT_LT((layer.states()[0] - w).abs().max().item<double>(), 1e-6);
  }
  EXPECT_LT((layer.states()[1] - m).abs().max().item<double>(), 1e-5);
  EXPECT_LT((layer.states()[2] - v).abs().max().item<double>(), 1e-3);
}

}  // namespace
}  // namespace prune::recovery
