#include <ATen/CPUGeneratorImpl.h>
#include <prune/hessian/factorize.h>

#include <limits>

#include "support.h"

namespace prune::hessian {
namespace {

using test::error_of;
using testing::HasSubstr;

Tensor random_hessian(int64_t cols, int64_t tokens) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(11);
  const Tensor x = at::empty({tokens, cols}, at::kFloat).normal_(0.0, 1.0, generator);
  return at::matmul(x.t(), x) / static_cast<double>(tokens);
}

TEST(Factorize, UpperFactorOfTheDampedHessian) {
  const Tensor h = random_hessian(60, 200);
  Tensor scratch = h.clone();
  const HessianFactor factor = factorize_(scratch, 0.01);
  EXPECT_TRUE(factor.v.equal(factor.v.triu()));
  EXPECT_NEAR(factor.damp, 0.01 * h.diagonal().mean().item<double>(), 1e-6);
  const Tensor damped = h + factor.damp * at::eye(60);
  EXPECT_LT((at::matmul(factor.v, factor.v.t()) - damped).abs().max().item<double>(), 1e-5);
  EXPECT_LT((factor.hessian - damped).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(factor.damp_raises, 0);
}

// The oracle is SparseGPT's three-step chain: U = V^-1 must equal its "Hinv".
TEST(Factorize, InverseOfTheFactorIsTheReferencesHinv) {
  const Tensor h = random_hessian(96, 400);
  Tensor scratch = h.clone();
  const HessianFactor factor = factorize_(scratch, 0.01);
  const Tensor damped = (h + factor.damp * at::eye(96)).to(at::kDouble);
  const Tensor hinv =
      at::linalg_cholesky(at::cholesky_inverse(at::linalg_cholesky(damped)), /*upper=*/true);
  const Tensor u = at::linalg_solve_triangular(factor.v.to(at::kDouble), at::eye(96, at::kDouble),
                                               /*upper=*/true);
  EXPECT_LT(((u - hinv).abs().max() / hinv.abs().max()).item<double>(), 1e-5);
}

TEST(Factorize, ByActOrderIsThatOfTheReorderedHessian) {
  const Tensor h = random_hessian(60, 200);
  Tensor scratch = h.clone();
  const HessianFactor factor = factorize_(scratch, 0.01, /*act_order=*/true);
  Tensor reordered = h.index_select(0, factor.permutation).index_select(1, factor.permutation);
  EXPECT_TRUE(reordered.diagonal().diff().le(0).all().item<bool>());
  EXPECT_FALSE(h.diagonal().diff().le(0).all().item<bool>());
  const HessianFactor want = factorize_(reordered, 0.01);
  EXPECT_TRUE(factor.v.equal(want.v));
  EXPECT_TRUE(factor.hessian.equal(want.hessian));
  EXPECT_FALSE(want.permutation.defined());
}

TEST(Factorize, DeadInputsGetOneOnTheDiagonal) {
  Tensor h = random_hessian(10, 50);
  h.select(0, 4).zero_();
  h.select(1, 4).zero_();
  const HessianFactor factor = factorize_(h, 0.01);
  EXPECT_EQ(factor.dead.sum().item<int64_t>(), 1);
  EXPECT_TRUE(factor.dead[4].item<bool>());
  EXPECT_NEAR(factor.v[4][4].item<double>(), std::sqrt(1.0 + factor.damp), 1e-6);
}

TEST(Factorize, FewerTokensThanColumnsIsSavedByDamping) {
  Tensor h = random_hessian(200, 20);
  const HessianFactor factor = factorize_(h, 0.01);
  EXPECT_TRUE(at::isfinite(factor.v).all().item<bool>());
  EXPECT_EQ(factor.damp_raises, 0);
}

// An eigenvalue of -0.05 times the mean diagonal: damping of 1 % is too little, 10 % is enough.
TEST(Factorize, RaisesTheDampingAndCountsIt) {
  Tensor h = at::eye(4);
  h[0][1] = 1.05;
  h[1][0] = 1.05;
  const HessianFactor factor = factorize_(h, 0.01);
  EXPECT_EQ(factor.damp_raises, 1);
  EXPECT_NEAR(factor.damp, 0.1, 1e-7);
  EXPECT_NEAR(factor.hessian[2][2].item<double>(), 1.1, 1e-6);
}

TEST(Factorize, PercdampZeroStillHasALadder) {
  Tensor h = at::ones({3, 3});  // rank one
  const HessianFactor factor = factorize_(h, 0.0);
  EXPECT_EQ(factor.damp_raises, 1);
  EXPECT_NEAR(factor.damp, 0.01, 1e-7);
}

TEST(Factorize, GivesUpAfterThreeRaises) {
  Tensor h = at::eye(4);
  h[0][1] = 100.0;
  h[1][0] = 100.0;
  EXPECT_THAT(error_of(ErrorKind::kNumeric, [&] { factorize_(h, 0.01); }),
              HasSubstr("not positive definite even with damp"));
}

TEST(Factorize, NotFiniteIsANumericError) {
  Tensor h = at::eye(4);
  h[2][2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(error_of(ErrorKind::kNumeric, [&] { factorize_(h, 0.01); }), HasSubstr("not finite"));
}

}  // namespace
}  // namespace prune::hessian
