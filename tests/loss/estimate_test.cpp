#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <prune/hessian/factorize.h>
#include <prune/loss/curve.h>

namespace prune::loss {
namespace {

TEST(EstimateLoss, ByHand) {
  // V = diag(1, 2): w² V² / 2 is 0.5, 8 and 2, 32 for the rows below.
  const hessian::HessianFactor factor{.v = at::diag(at::arange(1, 3, at::kFloat)),
                                      .dead = at::zeros({2}, at::kBool)};
  const Tensor weight = at::arange(1, 5, at::kFloat).view({2, 2});  // [[1, 2], [3, 4]]
  const LayerLoss loss = estimate_loss(weight, factor);
  EXPECT_DOUBLE_EQ(loss.total, 0.5 + 8 + 4.5 + 32);
  EXPECT_DOUBLE_EQ(loss.mean, loss.total / 4);
  EXPECT_DOUBLE_EQ(loss.cumulative[0], 0.0);
  EXPECT_DOUBLE_EQ(loss.cumulative[25], 0.5);
  EXPECT_DOUBLE_EQ(loss.cumulative[50], 0.5 + 4.5);
  EXPECT_DOUBLE_EQ(loss.cumulative[100], loss.total);
}

// Row j of U is the inverse Hessian with the columns before j eliminated, so the estimate must be
// w² / (2 [(H_{>=j})^-1]_jj).
TEST(EstimateLoss, IsTheOptimalBrainSurgeonLossOnTheRemainingColumns) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(2);
  const Tensor x = at::empty({80, 12}, at::kFloat).normal_(0.0, 1.0, generator);
  Tensor h = at::matmul(x.t(), x);
  const Tensor damped = (h + 0.01 * h.diagonal().mean() * at::eye(12)).to(at::kDouble);
  const hessian::HessianFactor factor = hessian::factorize_(h, 0.01);
  const Tensor weight = at::ones({1, 12});
  double want = 0.0;
  for (int64_t j = 0; j < 12; ++j) {
    const Tensor rest = damped.slice(0, j).slice(1, j);
    want += 0.5 / at::linalg_inv(rest)[0][0].item<double>();
  }
  EXPECT_NEAR(estimate_loss(weight, factor).total / want, 1.0, 1e-5);
}

TEST(EstimateLoss, CurveFollowsTheSortedEstimates) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(4);
  const Tensor weight = at::empty({100, 100}, at::kFloat).normal_(0.0, 1.0, generator);
  const hessian::HessianFactor factor{.v = at::eye(100), .dead = at::zeros({100}, at::kBool)};
  const LayerLoss loss = estimate_loss(weight, factor);
  const Tensor sorted = std::get<0>(weight.square().div(2).flatten().to(at::kDouble).sort());
  const Tensor cumulative = sorted.cumsum(0);
  for (const int64_t q : {10, 50, 70, 95}) {
    const double want = cumulative[q * 100 - 1].item<double>();
    EXPECT_NEAR(loss.cumulative[static_cast<size_t>(q)] / want, 1.0, 0.01) << q;
  }
}

TEST(EstimateLoss, CudaFindsTheSameCurve) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const Tensor weight = at::empty({300, 70}, at::kFloat).normal_(0.0, 1.0, generator);
  hessian::HessianFactor factor{.v = at::diag(at::arange(1, 71, at::kFloat)),
                                .dead = at::zeros({70}, at::kBool)};
  factor.dead[3] = true;
  const LayerLoss cpu = estimate_loss(weight, factor);
  factor.v = factor.v.to(at::kCUDA);
  factor.dead = factor.dead.to(at::kCUDA);
  const LayerLoss cuda = estimate_loss(weight.to(at::kCUDA), factor);
  EXPECT_NEAR(cuda.total / cpu.total, 1.0, 1e-5);
  EXPECT_NEAR(cuda.mean / cpu.mean, 1.0, 1e-5);
  EXPECT_EQ(cuda.cumulative[0], 0.0);
  // The CPU sorts by the first 7 bits of the mantissa only.
  for (size_t q = 1; q < kQuantiles; ++q) {
    EXPECT_NEAR(cuda.cumulative[q], cpu.cumulative[q], 0.02 * cpu.cumulative[q] + 1e-9) << q;
  }
}

TEST(EstimateLoss, DeadInputsCostNothing) {
  hessian::HessianFactor factor{.v = at::eye(3), .dead = at::zeros({3}, at::kBool)};
  factor.dead[1] = true;
  EXPECT_DOUBLE_EQ(estimate_loss(at::ones({2, 3}), factor).total, 2 * 2 * 0.5);
}

TEST(LossAt, InterpolatesTheCurve) {
  LayerLoss layer;
  for (size_t q = 0; q < kQuantiles; ++q) {
    layer.cumulative[q] = static_cast<double>(q * q);
  }
  EXPECT_EQ(loss_at(layer, 0.0), 0.0);
  EXPECT_EQ(loss_at(layer, 1.0), 10000.0);
  EXPECT_NEAR(loss_at(layer, 0.5), 2500.0, 1e-9);
  EXPECT_NEAR(loss_at(layer, 0.505), (2500.0 + 2601.0) / 2, 1e-9);
}

TEST(EstimateLoss, AllZeroLayer) {
  const hessian::HessianFactor factor{.v = at::eye(3), .dead = at::zeros({3}, at::kBool)};
  const LayerLoss loss = estimate_loss(at::zeros({2, 3}, at::kHalf), factor);
  EXPECT_EQ(loss.total, 0.0);
  EXPECT_EQ(loss.cumulative[100], 0.0);
}

}  // namespace
}  // namespace prune::loss
