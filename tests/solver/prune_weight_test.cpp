#include <prune/solver/prune_weight.h>

#include <bit>
#include <cmath>
#include <limits>

#include "alps.h"
#include "refine.h"
#include "solver/problem.h"
#include "support.h"

namespace prune::solver {
namespace {

using test::make_problem;
using test::Problem;

// tr((W - W0) H (W - W0)ᵀ) / 2 under the damped Hessian, in float64.
double damped_loss(const Tensor& weight, const Problem& problem) {
  const Tensor change = (weight.cpu() - problem.weight).to(at::kDouble);
  return (at::matmul(change, problem.factor.hessian.cpu().to(at::kDouble)) * change)
             .sum()
             .item<double>() /
         2;
}

// The best weights under a mask, row by row: H_kk w_k = (H w0)_k over the kept columns k.
Tensor best_weights(const Problem& problem, const Tensor& mask) {
  const Tensor h = problem.factor.hessian.to(at::kDouble);
  const Tensor goal = at::matmul(problem.weight.to(at::kDouble), h);
  Tensor best = at::zeros_like(goal);
  for (int64_t r = 0; r < mask.size(0); ++r) {
    const Tensor kept = mask[r].logical_not().nonzero().squeeze(1);
    if (kept.numel() == 0) continue;
    const Tensor h_kept = h.index_select(0, kept).index_select(1, kept);
    best[r].index_copy_(0, kept, at::linalg_solve(h_kept, goal[r].index_select(0, kept)));
  }
  return best;
}

Problem with_dead_column(Problem problem, int64_t column) {
  problem.hessian.select(0, column).zero_();
  problem.hessian.select(1, column).zero_();
  Tensor scratch = problem.hessian.clone();
  problem.factor = hessian::factorize_(scratch, 0.01);
  return problem;
}

// refine and ALPS use only ATen, so the same tests run on both devices.
class PruneWeight : public testing::TestWithParam<at::DeviceType> {
 protected:
  void SetUp() override {
    if (GetParam() == at::kCUDA && !at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }

  struct Pruned {
    Tensor weight;  // on the CPU
    PruneResult result;
  };

  static Pruned prune(const Problem& problem, const SolverOptions& options) {
    hessian::HessianFactor factor = problem.factor;
    factor.v = factor.v.to(GetParam());
    factor.hessian = factor.hessian.to(GetParam());
    factor.dead = factor.dead.to(GetParam());
    if (factor.permutation.defined()) factor.permutation = factor.permutation.to(GetParam());
    Tensor weight = problem.weight.to(GetParam(), /*non_blocking=*/false, /*copy=*/true);
    Pruned pruned{{}, prune_weight_(weight, factor, options)};
    pruned.weight = weight.cpu();
    pruned.result.mask = pruned.result.mask.cpu();
    return pruned;
  }

  static void expect_counts(const Pruned& pruned, const SolverOptions& options) {
    const Tensor zero = pruned.weight.eq(0);
    EXPECT_TRUE(zero.equal(pruned.result.mask));
    EXPECT_EQ(zero.sum().item<int64_t>(), pruned.result.zeros);
    if (options.prunem == 0) {
      EXPECT_EQ(pruned.result.zeros,
                std::llround(options.sparsity * static_cast<double>(zero.numel())));
    } else {
      EXPECT_TRUE(zero.view({-1, options.prunem}).sum(1).eq(options.prunen).all().item<bool>());
    }
  }
};

TEST_P(PruneWeight, RefiningReachesTheBestWeightsOfTheMask) {
  const Problem problem = make_problem({.rows = 24, .cols = 80});
  for (const SolverOptions& options :
       {SolverOptions{.sparsity = 0.7}, SolverOptions{.prunen = 2, .prunem = 4}}) {
    SolverOptions refined = options;
    refined.refine = 500;
    const Pruned before = prune(problem, options);
    const Pruned after = prune(problem, refined);
    EXPECT_TRUE(after.result.mask.equal(before.result.mask)) << "the mask is fixed";
    expect_counts(after, options);
    const Tensor best = best_weights(problem, before.result.mask);
    // A gradient at 1e-4 of the first leaves the square of 1e-4 of the possible gain.
    const double gain = damped_loss(before.weight, problem) - damped_loss(best, problem);
    EXPECT_GT(gain, 0.0);
    EXPECT_NEAR(damped_loss(after.weight, problem), damped_loss(best, problem), 1e-4 * gain);
    EXPECT_LE(after.result.refine_residual, 1e-4);
    EXPECT_LT(after.result.refine_steps, 500) << "converged before";
  }
}

TEST_P(PruneWeight, EveryStepLowersTheLossThatIsReported) {
  const Problem problem = with_dead_column(make_problem({.rows = 40, .cols = 120}), 7);
  double last = prune(problem, {.sparsity = 0.6}).result.loss;
  for (const int64_t steps : {1, 2, 4, 8, 16}) {
    const Pruned pruned = prune(problem, {.sparsity = 0.6, .refine = steps});
    EXPECT_EQ(pruned.result.refine_steps, steps);
    EXPECT_LT(pruned.result.loss, last) << steps;
    last = pruned.result.loss;
    Tensor alive = pruned.weight.clone();
    alive.select(1, 7).copy_(problem.weight.select(1, 7));
    EXPECT_NEAR(last, damped_loss(alive, problem), 1e-4 * last)
        << "weights of dead columns cost nothing";
  }
}

TEST_P(PruneWeight, NothingToPruneLeavesTheBytes) {
  const Problem problem = make_problem({.rows = 8, .cols = 40});
  for (const Algorithm algorithm : {Algorithm::kSparseGpt, Algorithm::kAlps}) {
    const Pruned pruned = prune(problem, {.solver = algorithm, .sparsity = 0.0, .refine = 5});
    EXPECT_TRUE(pruned.weight.equal(problem.weight));
    EXPECT_EQ(pruned.result.loss, 0.0);
    EXPECT_EQ(pruned.result.refine_steps, 0);
  }
}

// With independent columns nothing can be compensated: the best mask has the smallest w² H_jj.
TEST_P(PruneWeight, AlpsIsNearTheSmallestSaliencesOfIndependentColumns) {
  Problem problem = make_problem({.rows = 16, .cols = 64});
  problem.hessian = at::diag(problem.hessian.diagonal());
  Tensor scratch = problem.hessian.clone();
  problem.factor = hessian::factorize_(scratch, 0.01);
  const Pruned pruned = prune(problem, {.solver = Algorithm::kAlps, .sparsity = 0.5, .refine = 2});
  const Tensor kept = problem.weight.masked_fill(pruned.result.mask, 0.0);
  EXPECT_LT((pruned.weight - kept).abs().max().item<double>(), 1e-5);
  const Tensor salience = problem.weight.square() * problem.factor.hessian.diagonal();
  const Tensor smallest = std::get<0>(salience.flatten().sort()).slice(0, 0, 512);
  const double best = smallest.sum().item<double>() / 2;
  EXPECT_GT(pruned.result.loss, 0.9999 * best);
  EXPECT_LT(pruned.result.loss, 1.01 * best);
}

// Compares ALPS with the best of all 12 choose 6 masks of one row, each with its best weights.
TEST_P(PruneWeight, AlpsIsNearTheBestMaskOfAll) {
  constexpr int64_t kCols = 12;
  double alps = 0.0;
  double sparsegpt = 0.0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Problem problem = make_problem({.rows = 1, .cols = kCols, .seed = seed});
    double best = INFINITY;
    for (uint32_t bits = 0; bits < 1U << kCols; ++bits) {
      if (std::popcount(bits) != kCols / 2) continue;
      Tensor mask = at::zeros({1, kCols}, at::kBool);
      for (int64_t j = 0; j < kCols; ++j) mask[0][j] = (bits >> j & 1U) != 0;
      best = std::min(best, damped_loss(best_weights(problem, mask), problem));
    }
    SolverOptions options{.solver = Algorithm::kAlps, .sparsity = 0.5, .refine = 50};
    const double found = prune(problem, options).result.loss / best;
    EXPECT_GE(found, 1 - 1e-4) << "seed " << seed;
    alps += found / 5;
    options.solver = Algorithm::kSparseGpt;
    sparsegpt += prune(problem, options).result.loss / best / 5;
  }
  EXPECT_LT(alps, 1.15);
  EXPECT_LT(alps, sparsegpt);
}

TEST_P(PruneWeight, AlpsCountsExactlyAndLosesLess) {
  const Problem problem = with_dead_column(make_problem({.rows = 96, .cols = 160}), 30);
  for (SolverOptions options :
       {SolverOptions{.sparsity = 0.5}, SolverOptions{.sparsity = 0.813},
        SolverOptions{.prunen = 2, .prunem = 4}, SolverOptions{.prunen = 5, .prunem = 8}}) {
    options.refine = 30;
    const Pruned sparsegpt = prune(problem, options);
    options.solver = Algorithm::kAlps;
    const Pruned alps = prune(problem, options);
    expect_counts(alps, options);
    EXPECT_GT(alps.result.admm_steps, 0);
    EXPECT_LT(alps.result.loss, 0.97 * sparsegpt.result.loss)
        << options.sparsity << " " << options.prunen << ":" << options.prunem;
  }
}

TEST_P(PruneWeight, AlpsPrunesDeadColumnsFirstButNotBeyondTheTarget) {
  const Problem problem = with_dead_column(make_problem({.rows = 32, .cols = 64}), 20);
  const Pruned half = prune(problem, {.solver = Algorithm::kAlps, .sparsity = 0.5});
  EXPECT_EQ(half.weight.select(1, 20).count_nonzero().item<int64_t>(), 0);
  const Pruned little = prune(problem, {.solver = Algorithm::kAlps, .sparsity = 0.5 / 64});
  EXPECT_EQ(little.result.zeros, 16);
  EXPECT_EQ(little.weight.select(1, 20).count_nonzero().item<int64_t>(), 16);
  const Tensor kept = problem.weight.masked_fill(little.result.mask, 0.0);
  EXPECT_TRUE(little.weight.select(1, 20).equal(kept.select(1, 20)));
}

TEST_P(PruneWeight, AlpsAndRefiningKeepZeros) {
  Problem problem = make_problem({.rows = 48, .cols = 64});
  const Tensor zero = problem.weight.abs().lt(0.7);
  problem.weight.masked_fill_(zero, 0.0);
  const int64_t zeros = zero.sum().item<int64_t>();
  for (const Algorithm algorithm : {Algorithm::kSparseGpt, Algorithm::kAlps}) {
    for (const double sparsity : {0.0, 0.3, 0.8}) {
      const Pruned pruned =
          prune(problem, {.solver = algorithm, .sparsity = sparsity, .refine = 10});
      EXPECT_EQ(pruned.weight.masked_select(zero.to(pruned.weight.device()))
                    .count_nonzero()
                    .item<int64_t>(),
                0);
      EXPECT_EQ(pruned.result.zeros, std::max<int64_t>(zeros, std::llround(sparsity * 48 * 64)));
    }
  }
}

TEST_P(PruneWeight, EverythingPruned) {
  const Problem problem = make_problem({.rows = 8, .cols = 24});
  const Pruned pruned = prune(problem, {.solver = Algorithm::kAlps, .sparsity = 1.0, .refine = 3});
  EXPECT_EQ(pruned.weight.count_nonzero().item<int64_t>(), 0);
  EXPECT_NEAR(pruned.result.loss / damped_loss(pruned.weight, problem), 1.0, 1e-4);
}

TEST_P(PruneWeight, SameInputSameBits) {
  const Problem problem = make_problem({.rows = 64, .cols = 96});
  const SolverOptions options{.solver = Algorithm::kAlps, .sparsity = 0.7, .refine = 10};
  const Pruned first = prune(problem, options);
  const Pruned second = prune(problem, options);
  EXPECT_TRUE(first.weight.equal(second.weight));
  EXPECT_EQ(first.result.loss, second.result.loss);
}

// The problem with its factor in act order; `problem` itself keeps the natural one.
Problem permuted(const Problem& problem) {
  Problem result = problem;
  Tensor scratch = problem.hessian.clone();
  result.factor = hessian::factorize_(scratch, 0.01, /*act_order=*/true);
  const Tensor& permutation = result.factor.permutation;
  EXPECT_FALSE(permutation.equal(at::arange(permutation.numel()))) << "nothing is permuted";
  return result;
}

TEST_P(PruneWeight, RefiningWithAPermutedFactorEqualsRefiningWithoutIt) {
  const Problem problem = with_dead_column(make_problem({.rows = 24, .cols = 80}), 7);
  const Problem in_act_order = permuted(problem);
  const Pruned start = prune(in_act_order, {.sparsity = 0.6});
  for (const int64_t steps : {1, 4, 12}) {
    const Pruned pruned = prune(in_act_order, {.sparsity = 0.6, .refine = steps});
    expect_counts(pruned, {.sparsity = 0.6});
    EXPECT_TRUE(pruned.result.mask.equal(start.result.mask)) << "the mask is fixed";

    Tensor want = start.weight.clone();
    PruneResult want_result{.mask = start.result.mask};
    detail::refine_(want, problem.weight, problem.factor, steps, want_result);
    EXPECT_LT((pruned.weight - want).abs().max().item<double>(), 1e-4) << steps << " steps";
    EXPECT_EQ(pruned.result.refine_steps, want_result.refine_steps);
    EXPECT_NEAR(pruned.result.loss / want_result.loss, 1.0, 1e-5);
    EXPECT_LT(pruned.result.loss, start.result.loss);

    Tensor alive = pruned.weight.clone();
    alive.select(1, 7).copy_(problem.weight.select(1, 7));
    EXPECT_NEAR(pruned.result.loss / damped_loss(alive, problem), 1.0, 1e-4) << "tr(D H Dᵀ) / 2";
  }
}

TEST_P(PruneWeight, AlpsWithAPermutedFactorLosesWhatItReports) {
  const Problem problem = make_problem({.rows = 40, .cols = 96});
  const SolverOptions options{.solver = Algorithm::kAlps, .sparsity = 0.7, .refine = 30};
  const Pruned pruned = prune(permuted(problem), options);
  expect_counts(pruned, options);
  EXPECT_NEAR(pruned.result.loss / damped_loss(pruned.weight, problem), 1.0, 1e-4);
  EXPECT_NEAR(pruned.result.loss / prune(problem, options).result.loss, 1.0, 0.05);
}

TEST_P(PruneWeight, APatternRefusesAPermutedFactor) {
  const Problem problem = permuted(make_problem({.rows = 4, .cols = 16}));
  EXPECT_EQ(test::error_of(ErrorKind::kUsage, [&] { prune(problem, {.prunen = 2, .prunem = 4}); }),
            "pattern 2:4 does not go with a permuted Hessian (act order)");
}

class PruneStored : public testing::TestWithParam<at::ScalarType> {};

TEST_P(PruneStored, KeptWeightsStayNonzero) {
  Problem problem = make_problem({.rows = 12, .cols = 40});
  problem.weight.mul_(1e-3F);
  problem.weight.select(1, 3).fill_(GetParam() == at::kBFloat16 ? 1e-42F : 1e-9F);
  const Tensor before = problem.weight.clone();
  const Tensor stored_before = before.to(GetParam());
  const StoredResult none =
      prune_stored_(problem.weight, problem.factor, {.sparsity = 0.0}, GetParam());
  EXPECT_TRUE(problem.weight.equal(before)) << "a copy is pruned";
  EXPECT_EQ(none.zeros, 0);
  EXPECT_EQ(none.stored.scalar_type(), GetParam());
  const Tensor tiny = none.stored.select(1, 3);
  EXPECT_TRUE(tiny.gt(0).all().item<bool>()) << tiny;
  EXPECT_TRUE(none.stored.slice(1, 4).equal(stored_before.slice(1, 4)));
  EXPECT_FALSE(none.codes.codes.defined());

  const StoredResult most =
      prune_stored_(problem.weight, problem.factor, {.sparsity = 0.75}, GetParam());
  EXPECT_EQ(most.zeros, 360);
  EXPECT_EQ(most.result.zeros, 360);
  EXPECT_TRUE(most.stored.eq(0).equal(most.result.mask));
}

TEST_P(PruneStored, CodesStandForTheStoredWeights) {
  const Problem problem = make_problem({.rows = 12, .cols = 64});
  for (const bool symmetric : {true, false}) {
    const SolverOptions options{
        .sparsity = 0.5, .blocksize = 64, .quantization = {4, 32, symmetric}};
    const StoredResult solved =
        prune_stored_(problem.weight.to(at::kDouble), problem.factor, options, GetParam());
    EXPECT_EQ(solved.stored.scalar_type(), GetParam());
    EXPECT_EQ(solved.codes.codes.scalar_type(), at::kChar);
    EXPECT_EQ(solved.codes.zero.scalar_type(), at::kChar);
    EXPECT_EQ(solved.codes.scale.sizes(), at::IntArrayRef({12, 2}));
    EXPECT_TRUE(dequantize(solved.codes).equal(solved.stored));
    EXPECT_TRUE(solved.codes.scale.to(at::kFloat).equal(solved.result.scale));

    Tensor weight = problem.weight.clone();
    SolverOptions same = options;
    same.scale_dtype = GetParam();
    prune_weight_(weight, problem.factor, same);
    EXPECT_TRUE(weight.to(GetParam()).equal(solved.stored));
    EXPECT_EQ(solved.zeros, solved.stored.eq(0).sum().item<int64_t>());
    EXPECT_GE(solved.zeros, solved.result.zeros);
    EXPECT_TRUE(solved.stored.masked_select(solved.result.mask).eq(0).all().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, PruneStored, testing::Values(at::kHalf, at::kBFloat16, at::kFloat),
                         [](const auto& tested) { return dtype_name(tested.param); });

TEST(PruneStoredErrors, WeightsBeyondTheDtype) {
  Problem problem = make_problem({.rows = 4, .cols = 16});
  problem.weight[0][0] = 1e6F;
  EXPECT_EQ(
      test::error_of(
          ErrorKind::kNumeric,
          [&] { prune_stored_(problem.weight, problem.factor, {.sparsity = 0.0}, at::kHalf); }),
      "the pruned weights do not fit into float16");
}

TEST(Alps, AHessianThatIsNotPositiveDefiniteIsAnError) {
  Problem problem = make_problem({.rows = 8, .cols = 24});
  problem.factor.hessian.fill_(std::numeric_limits<float>::quiet_NaN());
  const std::string error = test::error_of(ErrorKind::kNumeric, [&] {
    detail::alps_(problem.weight, problem.factor, {.sparsity = 0.5});
  });
  EXPECT_EQ(error, "the Hessian is not positive definite in float32; a larger --percdamp helps");
}

INSTANTIATE_TEST_SUITE_P(Devices, PruneWeight, testing::Values(at::kCPU, at::kCUDA),
                         [](const auto& info) { return info.param == at::kCPU ? "cpu" : "cuda"; });

}  // namespace
}  // namespace prune::solver
