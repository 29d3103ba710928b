#include <prune/solver/prune_columns.h>

#include <cmath>
#include <numeric>

#include "cpu_kernels.h"
#include "prune_columns_detail.h"
#include "solver/column_loop.h"
#include "solver/problem.h"
#include "support.h"

namespace prune::solver {
namespace {

using test::after_column_loop;
using test::error_of;
using test::make_problem;
using test::Problem;
using testing::HasSubstr;

// SparseGPT's Algorithm 1 as in the paper, in float64, with U from its three steps: no lazy
// updates, no tiles, slow and obvious. Blocks matter only for choosing masks.
Tensor plain_prune_columns(const Problem& problem, const SolverOptions& options) {
  Tensor h = problem.hessian.to(at::kDouble);
  const Tensor dead = h.diagonal().eq(0);
  h.diagonal().masked_fill_(dead, 1.0);
  h.diagonal().add_(0.01 * h.diagonal().mean());
  const Tensor hinv = at::linalg_cholesky(at::cholesky_inverse(at::linalg_cholesky(h)), true);
  Tensor w = problem.weight.to(at::kDouble);
  w.masked_fill_(dead, 0.0);
  const int64_t rows = w.size(0);
  const int64_t cols = w.size(1);
  Tensor mask = at::zeros({rows, cols}, at::kBool);
  const auto score = [&](int64_t begin, int64_t end) {
    return w.slice(1, begin, end).square() / hinv.diagonal().slice(0, begin, end).square();
  };
  for (int64_t j = 0; j < cols; ++j) {
    if (options.prunem == 0 && j % options.blocksize == 0) {
      const int64_t end = std::min(j + options.blocksize, cols);
      const int64_t zeros = detail::block_zeros(rows, j, end, options.sparsity);
      const Tensor order = score(j, end).flatten().argsort(/*stable=*/true);
      Tensor block = at::zeros({rows * (end - j)}, at::kBool);
      block.index_fill_(0, order.slice(0, 0, zeros), true);
      mask.slice(1, j, end).copy_(block.view({rows, end - j}));
    }
    if (options.prunem != 0 && j % options.prunem == 0) {
      const Tensor order = score(j, j + options.prunem).argsort(/*stable=*/true, 1);
      Tensor group = at::zeros({rows, options.prunem}, at::kBool);
      group.scatter_(1, order.slice(1, 0, options.prunen), true);
      mask.slice(1, j, j + options.prunem).copy_(group);
    }
    const Tensor q = w.select(1, j).masked_fill(mask.select(1, j), 0.0);
    const Tensor error = (w.select(1, j) - q) / hinv[j][j];
    w.slice(1, j).sub_(at::outer(error, hinv[j].slice(0, j)));
    w.select(1, j).copy_(q);
  }
  return w;
}

int64_t count_zeros(const Tensor& weight) {
  return weight.numel() - weight.count_nonzero().item<int64_t>();
}

struct Case {
  int64_t rows;
  int64_t cols;
  SolverOptions options;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.rows << "x" << c.cols << " sparsity " << c.options.sparsity << " pattern "
             << c.options.prunen << ":" << c.options.prunem << " blocksize " << c.options.blocksize;
}

class PruneColumns : public testing::TestWithParam<Case> {};

TEST_P(PruneColumns, AgreesWithPlainLoopsInFloat64) {
  const Case& c = GetParam();
  const Problem problem = make_problem({.rows = c.rows, .cols = c.cols});
  const Tensor want = plain_prune_columns(problem, c.options);
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_columns_(weight, problem.factor, c.options);

  // float32 rounding grows with the number of updates of a weight. Masks may differ only where two
  // scores tie within that rounding; a flip changes the rest of its row, so flips are counted and
  // not bounded.
  const Tensor masks_differ = weight.eq(0).ne(want.eq(0));
  const auto differing = masks_differ.sum().item<int64_t>();
  EXPECT_LE(differing, weight.numel() / 2000) << "masks differ too often";
  if (differing == 0) {
    const double tolerance =
        1.2e-7 * static_cast<double>(c.cols) * problem.weight.abs().max().item<double>();
    EXPECT_LT((weight.to(at::kDouble) - want).abs().max().item<double>(), tolerance);
  }
  const double error = test::reconstruction_error(weight, problem);
  const double want_error = test::reconstruction_error(want.to(at::kFloat), problem);
  EXPECT_NEAR(error, want_error, 2e-3 * want_error);

  EXPECT_EQ(result.mask.sum().item<int64_t>(), result.zeros);
  EXPECT_EQ(count_zeros(weight), result.zeros);
  EXPECT_TRUE(weight.masked_select(result.mask).eq(0).all().item<bool>());
  if (c.options.prunem == 0) {
    EXPECT_EQ(result.zeros, std::llround(c.options.sparsity * static_cast<double>(weight.numel())));
  } else {
    const Tensor per_group = weight.eq(0).view({-1, c.options.prunem}).sum(1);
    EXPECT_TRUE(per_group.eq(c.options.prunen).all().item<bool>());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PruneColumns,
    testing::Values(Case{48, 96, {.sparsity = 0.75, .blocksize = 32}},
                    Case{48, 96, {.sparsity = 0.5, .blocksize = 128}},
                    Case{1, 1, {.sparsity = 1.0}}, Case{1, 40, {.sparsity = 0.3, .blocksize = 16}},
                    Case{37, 300, {.sparsity = 0.7}}, Case{129, 130, {.sparsity = 0.01}},
                    Case{17, 200, {.sparsity = 0.9, .blocksize = 7}},
                    Case{200, 256, {.sparsity = 0.6, .blocksize = 1024}},
                    Case{48, 96, {.prunen = 2, .prunem = 4}},
                    Case{33, 256, {.prunen = 4, .prunem = 8}},
                    Case{20, 192, {.prunen = 1, .prunem = 2, .blocksize = 64}},
                    Case{20, 192, {.prunen = 2, .prunem = 3, .blocksize = 96}},
                    Case{20, 192, {.prunen = 10, .prunem = 16, .blocksize = 64}}));

TEST(PruneColumnsEdges, NothingToPruneLeavesTheWeights) {
  const Problem problem = make_problem({.rows = 20, .cols = 150});
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_columns_(weight, problem.factor, {.sparsity = 0.0});
  EXPECT_TRUE(weight.equal(problem.weight));
  EXPECT_EQ(result.loss, 0.0);
  EXPECT_EQ(result.zeros, 0);
}

TEST(PruneColumnsEdges, EverythingPrunedLosesTheWholeOutput) {
  const Problem problem = make_problem({.rows = 20, .cols = 150});
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_columns_(weight, problem.factor, {.sparsity = 1.0});
  EXPECT_EQ(count_zeros(weight), weight.numel());
  // The column losses add up to the loss under the damped Hessian V Vᵀ.
  const Tensor projected = at::matmul(problem.weight, problem.factor.v);
  EXPECT_NEAR(result.loss / (0.5 * projected.square().sum().item<double>()), 1.0, 1e-4);
}

TEST(PruneColumnsEdges, LossIsTheQuadraticFormOfTheChange) {
  const Problem problem = make_problem({.rows = 64, .cols = 200});
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_columns_(weight, problem.factor, {.sparsity = 0.5});
  const Tensor projected = at::matmul(weight - problem.weight, problem.factor.v);
  EXPECT_NEAR(result.loss / (0.5 * projected.square().sum().item<double>()), 1.0, 1e-4);
}

TEST(PruneColumnsEdges, EqualScoresArePrunedByIndex) {
  const int64_t rows = 24;
  const int64_t cols = 32;
  hessian::HessianFactor factor{.v = at::eye(cols), .dead = at::zeros({cols}, at::kBool)};
  Tensor weight = at::ones({rows, cols});
  const PruneResult result = prune_columns_(weight, factor, {.sparsity = 0.25});
  const Tensor want = at::arange(rows * cols).view({rows, cols}).lt(rows * cols / 4);
  EXPECT_TRUE(result.mask.equal(want)) << "ties go to the smaller row-major index";
}

TEST(PruneColumnsEdges, WeightsOfDeadInputsGoFirstButNotBeyondTheTarget) {
  Problem problem = make_problem({.rows = 24, .cols = 64});
  for (const int64_t j : {3, 40}) {
    problem.hessian.select(0, j).zero_();
    problem.hessian.select(1, j).zero_();
  }
  Tensor scratch = problem.hessian.clone();
  problem.factor = hessian::factorize_(scratch, 0.01);
  Tensor weight = problem.weight.clone();
  const PruneResult half = prune_columns_(weight, problem.factor, {.sparsity = 0.5});
  EXPECT_EQ(weight.select(1, 3).count_nonzero().item<int64_t>(), 0);
  EXPECT_EQ(weight.select(1, 40).count_nonzero().item<int64_t>(), 0);
  EXPECT_EQ(count_zeros(weight), weight.numel() / 2);

  // The dead columns alone suffice for this sparsity: nothing is lost, no other weight changes.
  Tensor little = problem.weight.clone();
  const PruneResult result = prune_columns_(little, problem.factor, {.sparsity = 1.0 / 64});
  EXPECT_EQ(count_zeros(little), 24);
  EXPECT_EQ(result.loss, 0.0);
  EXPECT_GT(half.loss, 0.0);
  EXPECT_TRUE(little.slice(1, 4, 40).equal(problem.weight.slice(1, 4, 40)));
}

/// A problem whose weights are zero where `zero` says so.
Problem with_zeros(Problem problem, const Tensor& zero) {
  problem.weight.masked_fill_(zero, 0.0);
  return problem;
}

TEST(PruneColumnsEdges, ZerosStayAndCountTowardsTheSparsity) {
  const Problem dense = make_problem({.rows = 37, .cols = 64});
  Tensor halved = dense.weight.clone();
  const Tensor zero = prune_columns_(halved, dense.factor, {.sparsity = 0.5, .blocksize = 16}).mask;
  const Problem sparse = with_zeros(dense, zero);
  for (const double sparsity : {0.0, 0.3, 0.5, 0.7}) {
    Tensor weight = sparse.weight.clone();
    const PruneResult result =
        prune_columns_(weight, sparse.factor, {.sparsity = sparsity, .blocksize = 16});
    EXPECT_EQ(result.zeros, std::llround(std::max(sparsity, 0.5) * 37 * 64)) << sparsity;
    EXPECT_TRUE(result.mask.eq(weight.eq(0)).all().item<bool>());
    EXPECT_TRUE(weight.masked_select(zero).eq(0).all().item<bool>());
  }
  Tensor freed = sparse.weight.clone();
  prune_columns_(freed, sparse.factor, {.sparsity = 0.7, .blocksize = 16, .keep_zeros = false});
  EXPECT_FALSE(freed.masked_select(zero).eq(0).all().item<bool>());
}

TEST(PruneColumnsEdges, AChosenZeroCostsWhatTheOthersMakeUpFor) {
  // With the zeros forced, the loop solves the problem of the same mask chosen by scores.
  const Problem problem = make_problem({.rows = 16, .cols = 32});
  Tensor pruned = problem.weight.clone();
  const PruneResult first =
      prune_columns_(pruned, problem.factor, {.sparsity = 0.5, .blocksize = 32});
  const Problem sparse = with_zeros(problem, first.mask);
  Tensor again = sparse.weight.clone();
  const PruneResult kept = prune_columns_(again, sparse.factor, {.sparsity = 0.5, .blocksize = 32});
  EXPECT_TRUE(at::equal(kept.mask, first.mask));
  EXPECT_TRUE(at::equal(again, sparse.weight)) << "no error to move: the mask's weights are zero";
  EXPECT_EQ(kept.loss, 0.0);
}

TEST(PruneColumnsEdges, APatternSurvivesRoundingAndASecondPattern) {
  const Problem dense = make_problem({.rows = 21, .cols = 64});
  Tensor pruned = dense.weight.clone();
  const SolverOptions two_of_four = {.prunen = 2, .prunem = 4, .blocksize = 16};
  const Tensor zero = prune_columns_(pruned, dense.factor, two_of_four).mask;
  const Problem sparse = with_zeros(dense, zero);
  Tensor rounded = sparse.weight.clone();
  const PruneResult result = prune_columns_(
      rounded, sparse.factor,
      {.sparsity = 0.0, .blocksize = 16, .quantization = {.wbits = 4, .group_size = 16}});
  EXPECT_EQ(result.zeros, 21 * 32);
  EXPECT_TRUE(at::equal(result.mask, zero));
  EXPECT_TRUE(rounded.masked_select(zero).eq(0).all().item<bool>());
  Tensor again = sparse.weight.clone();
  EXPECT_TRUE(at::equal(prune_columns_(again, sparse.factor, two_of_four).mask, zero));
  // More zeros in a group than the pattern asks for stay, too.
  const Problem three = with_zeros(sparse, at::arange(64).remainder(4).lt(3).expand({21, 64}));
  Tensor more = three.weight.clone();
  EXPECT_EQ(prune_columns_(more, three.factor, two_of_four).zeros,
            three.weight.eq(0).sum().item<int64_t>());
}

TEST(PruneColumnsEdges, BetterThanMagnitudePruning) {
  const Problem problem = make_problem({.rows = 128, .cols = 256});
  Tensor weight = problem.weight.clone();
  prune_columns_(weight, problem.factor, {.sparsity = 0.5});
  const Tensor threshold =
      std::get<0>(problem.weight.abs().flatten().kthvalue(problem.weight.numel() / 2));
  const Tensor magnitude = problem.weight.masked_fill(problem.weight.abs() <= threshold, 0.0);
  EXPECT_LT(test::reconstruction_error(weight, problem),
            0.6 * test::reconstruction_error(magnitude, problem));
}

TEST(PruneColumnsEdges, SameInputSameBits) {
  const Problem problem = make_problem({.rows = 300, .cols = 300});
  Tensor first = problem.weight.clone();
  Tensor second = problem.weight.clone();
  const double loss = prune_columns_(first, problem.factor, {.sparsity = 0.7}).loss;
  EXPECT_EQ(prune_columns_(second, problem.factor, {.sparsity = 0.7}).loss, loss);
  EXPECT_TRUE(first.equal(second));
}

// All instruction sets do the same arithmetic except for fused multiply-adds.
TEST(CpuKernels, AllInstructionSetsAgree) {
  const Problem problem = make_problem({.rows = 37, .cols = 40});
  const auto run = [&](const detail::CpuKernels& kernels) {
    return after_column_loop(kernels, problem);
  };
  const Tensor portable = run(detail::cpu_kernels_portable());
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 on this machine";
  EXPECT_TRUE(at::allclose(run(detail::cpu_kernels_avx2()), portable, 1e-4, 1e-5));
  if (!__builtin_cpu_supports("avx512bw")) GTEST_SKIP() << "no AVX-512 on this machine";
  EXPECT_TRUE(at::allclose(run(detail::cpu_kernels_avx512()), portable, 1e-4, 1e-5));
}

TEST(PruneColumnsErrors, BadDiagonalNamesItsColumn) {
  Problem problem = make_problem({.rows = 4, .cols = 16});
  Tensor weight = problem.weight.clone();
  problem.factor.v[5][5] = std::nanf("");
  EXPECT_THAT(error_of(ErrorKind::kNumeric,
                       [&] { prune_columns_(weight, problem.factor, {.sparsity = 0.5}); }),
              HasSubstr("column 5"));
}

TEST(PruneColumnsErrors, BadOptions) {
  const Problem problem = make_problem({.rows = 4, .cols = 30});
  Tensor weight = problem.weight.clone();
  const auto message = [&](const SolverOptions& options) {
    return error_of(ErrorKind::kUsage, [&] { prune_columns_(weight, problem.factor, options); });
  };
  EXPECT_THAT(message({.sparsity = 1.5}), HasSubstr("sparsity 1.5"));
  EXPECT_THAT(message({.sparsity = std::nan("")}), HasSubstr("sparsity nan"));
  EXPECT_THAT(message({.prunen = 2, .prunem = 4}), HasSubstr("divisible by 4"));
  EXPECT_THAT(message({.prunen = 5, .prunem = 4}), HasSubstr("5:4"));
  EXPECT_THAT(message({.sparsity = 0.5, .blocksize = 0}), HasSubstr("blocksize 0"));
}

}  // namespace
}  // namespace prune::solver
