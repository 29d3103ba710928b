#include <prune/solver/prune_columns.h>
#include <prune/solver/prune_weight.h>

#include <cmath>

#include "cpu_kernels.h"
#include "group_grids.h"
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

struct Grid {
  Tensor scale;  // [rows, 1] float64
  Tensor zero;
};

// The formulas of compressed-tensors' calculate_qparams.
Grid plain_grid(const Tensor& weight, const SolverOptions& options) {
  const double low = -std::pow(2.0, options.quantization.wbits - 1);
  const double high = -low - 1;
  const Tensor least = weight.amin(1, true).clamp_max(0);
  const Tensor most = weight.amax(1, true).clamp_min(0);
  Grid grid;
  if (options.quantization.symmetric) {
    grid.scale = at::maximum(least.abs(), most.abs()) / ((high - low) / 2);
  } else {
    grid.scale = (most - least) / (high - low);
  }
  grid.scale = grid.scale.to(at::kFloat).to(options.scale_dtype).to(at::kDouble);
  grid.zero = options.quantization.symmetric ? at::zeros_like(least)
                                             : (low - least / grid.scale).clamp(low, high).round();
  return grid;
}

Tensor plain_round(const Tensor& weight, const Grid& grid, int64_t wbits) {
  const double low = -std::pow(2.0, wbits - 1);
  const Tensor code = (weight / grid.scale + grid.zero).clamp(low, -low - 1).round();
  return (code - grid.zero) * grid.scale;
}

// SparseGPT's Algorithm 1 with OPTQ's rounding in float64, column by column over the layer. Blocks
// matter only for when masks and grids are chosen.
Tensor plain_quantize_columns(const Problem& problem, const SolverOptions& options) {
  const Tensor hinv =
      at::linalg_cholesky(at::linalg_inv(problem.factor.hessian.to(at::kDouble)), /*upper=*/true);
  Tensor w = problem.weight.to(at::kDouble);
  const int64_t rows = w.size(0);
  const int64_t cols = w.size(1);
  const int64_t group = options.quantization.columns_of_group(cols);
  std::vector<Grid> grids;
  if (group == cols) grids.push_back(plain_grid(w, options));
  Tensor mask = at::zeros({rows, cols}, at::kBool);
  const auto score = [&](int64_t begin, int64_t end) {
    return w.slice(1, begin, end).square() / hinv.diagonal().slice(0, begin, end).square();
  };
  for (int64_t j = 0; j < cols; ++j) {
    const int64_t end = std::min(j + options.blocksize, cols);
    if (j % options.blocksize == 0 && group != cols) {
      for (int64_t g = j; g < end; g += group) {
        grids.push_back(plain_grid(w.slice(1, g, g + group), options));
      }
    }
    if (j % options.blocksize == 0 && options.prunem == 0) {
      const int64_t zeros = detail::block_zeros(rows, j, end, options.sparsity);
      const Tensor order = score(j, end).flatten().argsort(/*stable=*/true);
      Tensor block = at::zeros({rows * (end - j)}, at::kBool);
      block.index_fill_(0, order.slice(0, 0, zeros), true);
      mask.slice(1, j, end).copy_(block.view({rows, end - j}));
    }
    if (options.prunem != 0 && j % options.prunem == 0) {
      const Tensor order = score(j, j + options.prunem).argsort(/*stable=*/true, 1);
      Tensor pruned = at::zeros({rows, options.prunem}, at::kBool);
      pruned.scatter_(1, order.slice(1, 0, options.prunen), true);
      mask.slice(1, j, j + options.prunem).copy_(pruned);
    }
    const Tensor dense = w.slice(1, j, j + 1);
    const Tensor q =
        plain_round(dense, grids[static_cast<size_t>(j / group)], options.quantization.wbits)
            .masked_fill(mask.slice(1, j, j + 1), 0.0);
    const Tensor error = (dense - q) / hinv[j][j];
    w.slice(1, j).sub_(error * hinv[j].slice(0, j));
    w.slice(1, j, j + 1).copy_(q);
  }
  return w;
}

// OPTQ's act_order in float64: columns in the factor's permutation, each group's grid from its
// dense weights.
Tensor plain_quantize_in_order(const Problem& problem, const SolverOptions& options) {
  const Tensor& order = problem.factor.permutation;
  const Tensor hinv =
      at::linalg_cholesky(at::linalg_inv(problem.factor.hessian.to(at::kDouble)), /*upper=*/true);
  const Tensor dense = problem.weight.to(at::kDouble);
  Tensor w = dense.index_select(1, order);
  const int64_t group = options.quantization.columns_of_group(w.size(1));
  for (int64_t j = 0; j < w.size(1); ++j) {
    const int64_t first = order[j].item<int64_t>() / group * group;
    const Grid grid = plain_grid(dense.slice(1, first, first + group), options);
    const Tensor column = w.slice(1, j, j + 1).clone();
    const Tensor q = plain_round(column, grid, options.quantization.wbits);
    w.slice(1, j).sub_((column - q) / hinv[j][j] * hinv[j].slice(0, j));
    w.slice(1, j, j + 1).copy_(q);
  }
  return at::empty_like(w).index_copy_(1, order, w);
}

// Checks that every weight is a multiple of its group's scale within the range of its zero point
// and width.
void expect_on_grid(const Tensor& weight, const PruneResult& result, const SolverOptions& options) {
  const Quantization& quantization = options.quantization;
  const int64_t group = quantization.columns_of_group(weight.size(1));
  const Tensor scale = result.scale.repeat_interleave(group, 1);
  const Tensor zero = result.zero.repeat_interleave(group, 1);
  EXPECT_TRUE(result.scale.equal(result.scale.to(options.scale_dtype).to(at::kFloat)));
  EXPECT_TRUE(result.scale.gt(0).all().item<bool>());
  const Tensor code = (weight / scale).round() + zero;
  EXPECT_TRUE(((code - zero) * scale).equal(weight));
  EXPECT_GE(code.min().item<float>(), static_cast<float>(quantization.smallest_code()));
  EXPECT_LE(code.max().item<float>(), static_cast<float>(quantization.largest_code()));
  EXPECT_TRUE(result.zero.ge(quantization.smallest_code())
                  .logical_and(result.zero.le(quantization.largest_code()))
                  .all()
                  .item<bool>());
  EXPECT_TRUE(result.zero.eq(result.zero.round()).all().item<bool>());
}

struct Case {
  int64_t rows;
  int64_t cols;
  SolverOptions options;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  const Quantization& quantization = c.options.quantization;
  return out << c.rows << "x" << c.cols << " wbits " << quantization.wbits << " group size "
             << quantization.group_size << (quantization.symmetric ? " sym" : " asym")
             << " sparsity " << c.options.sparsity << " pattern " << c.options.prunen << ":"
             << c.options.prunem;
}

class QuantizeColumns : public testing::TestWithParam<Case> {};

TEST_P(QuantizeColumns, AgreesWithPlainLoopsInFloat64) {
  const auto& [rows, cols, options] = GetParam();
  const Problem problem = make_problem({.rows = rows, .cols = cols});
  const Tensor want = plain_quantize_columns(problem, options);
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_columns_(weight, problem.factor, options);

  expect_on_grid(weight, result, options);
  EXPECT_EQ(result.mask.sum().item<int64_t>(), result.zeros);
  EXPECT_TRUE(weight.masked_select(result.mask).eq(0).all().item<bool>());
  // A weight half-way between two numbers may be rounded to either in float32, which changes the
  // rest of its row. So a few weights differ, but the error hardly does.
  const double differing = (weight - want).abs().gt(1e-4).to(at::kDouble).mean().item<double>();
  EXPECT_LT(differing, 0.03);
  const double error = test::reconstruction_error(weight, problem);
  const double want_error = test::reconstruction_error(want.to(at::kFloat), problem);
  EXPECT_NEAR(error, want_error, 1e-2 * want_error);
}

TEST_P(QuantizeColumns, LossIsTheQuadraticFormAndItsPartsAddUp) {
  const auto& [rows, cols, options] = GetParam();
  const Problem problem = make_problem({.rows = rows, .cols = cols});
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_columns_(weight, problem.factor, options);
  const Tensor projected = at::matmul(weight - problem.weight, problem.factor.v);
  EXPECT_NEAR(result.loss / (0.5 * projected.square().sum().item<double>()), 1.0, 1e-4);
  EXPECT_GT(result.loss_rounding, 0.0);
  if (result.zeros == 0) {
    EXPECT_NEAR(result.loss_rounding, result.loss, 1e-5 * result.loss);
  } else {
    EXPECT_LT(result.loss_rounding, result.loss);
  }
}

constexpr Quantization kFourBits{.wbits = 4, .group_size = 32};

INSTANTIATE_TEST_SUITE_P(
    Shapes, QuantizeColumns,
    testing::Values(
        Case{48, 128, {.sparsity = 0.0, .quantization = kFourBits}},
        Case{37, 256, {.sparsity = 0.7, .quantization = kFourBits}},
        Case{37, 256, {.sparsity = 0.7, .quantization = {.wbits = 4, .symmetric = false}}},
        Case{20, 300, {.sparsity = 0.5, .quantization = {.wbits = 3, .group_size = -1}}},
        Case{20,
             300,
             {.sparsity = 0.0, .quantization = {.wbits = 4, .group_size = -1, .symmetric = false}}},
        Case{33, 192, {.sparsity = 0.6, .blocksize = 64, .quantization = {2, 64, false}}},
        Case{33,
             256,
             {.sparsity = 0.3,
              .quantization = {.wbits = 8, .group_size = 64},
              .scale_dtype = at::kBFloat16}},
        Case{16, 64, {.sparsity = 0.0, .quantization = {8, 32, false}, .scale_dtype = at::kFloat}},
        Case{33, 256, {.prunen = 2, .prunem = 4, .quantization = {.wbits = 4}}},
        Case{20, 192, {.prunen = 2, .prunem = 3, .blocksize = 96, .quantization = kFourBits}}));

TEST(QuantizeColumnsEdges, FewerBitsAndWiderGroupsLoseMore) {
  const Problem problem = make_problem({.rows = 64, .cols = 256});
  const auto loss = [&](int64_t wbits, int64_t group_size) {
    Tensor weight = problem.weight.clone();
    return prune_columns_(weight, problem.factor,
                          {.sparsity = 0.0, .quantization = {wbits, group_size, true}})
        .loss;
  };
  EXPECT_LT(loss(8, 32), loss(4, 32));
  EXPECT_LT(loss(4, 32), loss(3, 32));
  EXPECT_LT(loss(3, 32), loss(2, 32));
  EXPECT_LT(loss(4, 32), loss(4, 128));
  EXPECT_LT(loss(4, 128), loss(4, -1));
}

// The purpose of the loop: later columns compensate the errors of earlier ones.
TEST(QuantizeColumnsEdges, BetterThanRoundingToNearest) {
  const Problem problem = make_problem({.rows = 64, .cols = 256});
  const SolverOptions options{.sparsity = 0.0, .quantization = {4, -1, true}};
  Tensor weight = problem.weight.clone();
  prune_columns_(weight, problem.factor, options);
  const Tensor dense = problem.weight.to(at::kDouble);
  const Tensor nearest = plain_round(dense, plain_grid(dense, options), 4).to(at::kFloat);
  EXPECT_LT(test::reconstruction_error(weight, problem),
            0.6 * test::reconstruction_error(nearest, problem));
}

TEST(QuantizeColumnsEdges, RowsOfZerosAndOfOneSignStayFinite) {
  Problem problem = make_problem({.rows = 6, .cols = 64});
  problem.weight[0].zero_();
  problem.weight[1].fill_(1e-9F);  // its scale underflows in float16
  problem.weight[2].abs_();
  problem.weight[3].abs_().neg_();
  problem.weight[4].fill_(-0.0F);
  for (const bool symmetric : {true, false}) {
    const SolverOptions options{.sparsity = 0.5, .quantization = {4, 32, symmetric}};
    Tensor weight = problem.weight.clone();
    const PruneResult result = prune_columns_(weight, problem.factor, options);
    EXPECT_TRUE(at::isfinite(weight).all().item<bool>());
    expect_on_grid(weight, result, options);
    EXPECT_EQ(weight[0].count_nonzero().item<int64_t>(), 0);
    EXPECT_FALSE(at::signbit(weight.masked_select(weight.eq(0))).any().item<bool>());
  }
}

class QuantizeInOrder : public testing::TestWithParam<Quantization> {};

TEST_P(QuantizeInOrder, AgreesWithPlainLoopsInFloat64) {
  const SolverOptions options{.sparsity = 0.0, .quantization = GetParam()};
  Problem problem = make_problem({.rows = 37, .cols = 256});
  Tensor natural = problem.weight.clone();
  prune_weight_(natural, problem.factor, options);
  Tensor scratch = problem.hessian.clone();
  problem.factor = hessian::factorize_(scratch, 0.01, /*act_order=*/true);
  const Tensor want = plain_quantize_in_order(problem, options);
  Tensor weight = problem.weight.clone();
  const PruneResult result = prune_weight_(weight, problem.factor, options);

  expect_on_grid(weight, result, options);
  EXPECT_EQ(result.mask.sum().item<int64_t>(), 0);
  EXPECT_LT((weight - want).abs().gt(1e-4).to(at::kDouble).mean().item<double>(), 0.03);
  const double error = test::reconstruction_error(weight, problem);
  const double want_error = test::reconstruction_error(want.to(at::kFloat), problem);
  EXPECT_NEAR(error, want_error, 1e-2 * want_error);
  EXPECT_LT(error, 0.95 * test::reconstruction_error(natural, problem)) << "act order must help";
}
INSTANTIATE_TEST_SUITE_P(Grids, QuantizeInOrder,
                         testing::Values(kFourBits, Quantization{4, 128, false},
                                         Quantization{3, -1, false}, Quantization{2, 64, true}),
                         [](const auto& tested) {
                           return fmt::format("bits{}_group{}", tested.param.wbits,
                                              std::abs(tested.param.group_size));
                         });

TEST(QuantizeColumnsEdges, SameBitsOnAnyNumberOfRowsOfATile) {
  const Problem problem = make_problem({.rows = 40, .cols = 128});
  const SolverOptions options{.sparsity = 0.0, .quantization = kFourBits};
  Tensor all = problem.weight.clone();
  prune_columns_(all, problem.factor, options);
  Tensor some = problem.weight.slice(0, 0, 21).clone();
  prune_columns_(some, problem.factor, options);
  EXPECT_TRUE(some.equal(all.slice(0, 0, 21)));
}

TEST(QuantizeColumnsKernels, AllInstructionSetsAgree) {
  const Problem problem = make_problem({.rows = 37, .cols = 64});
  const SolverOptions options{.quantization = {8, 32, false}};
  detail::GroupGrids grids(problem.weight, options, {});
  grids.enter_block(problem.weight, 0);
  const auto run = [&](const detail::CpuKernels& kernels) {
    return after_column_loop(kernels, problem,
                             {.scale_t = grids.scale().const_data_ptr<float>(),
                              .low_t = grids.low().const_data_ptr<float>(),
                              .high_t = grids.high().const_data_ptr<float>(),
                              .group_size = 32});
  };
  const Tensor portable = run(detail::cpu_kernels_portable());
  const auto differing = [&](const Tensor& other) {
    return (other - portable).abs().gt(1e-5).to(at::kDouble).mean().item<double>();
  };
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2 on this machine";
  EXPECT_LT(differing(run(detail::cpu_kernels_avx2())), 0.02);
  if (!__builtin_cpu_supports("avx512bw")) GTEST_SKIP() << "no AVX-512 on this machine";
  EXPECT_LT(differing(run(detail::cpu_kernels_avx512())), 0.02);
}

TEST(QuantizeColumnsErrors, BadOptions) {
  const Problem problem = make_problem({.rows = 4, .cols = 96});
  Tensor weight = problem.weight.clone();
  const auto message = [&](const SolverOptions& options) {
    return error_of(ErrorKind::kUsage, [&] { prune_weight_(weight, problem.factor, options); });
  };
  EXPECT_THAT(message({.quantization = {.wbits = 9}}), HasSubstr("wbits 9"));
  EXPECT_THAT(message({.quantization = {.wbits = 4}}), HasSubstr("128 does not divide columns"));
  EXPECT_THAT(message({.blocksize = 48, .quantization = kFourBits}), HasSubstr("blocksize (48)"));
  EXPECT_THAT(message({.refine = 3, .quantization = kFourBits}), HasSubstr("--refine"));
  EXPECT_THAT(message({.solver = Algorithm::kAlps, .quantization = kFourBits}),
              HasSubstr("--solver sparsegpt"));
}

}  // namespace
}  // namespace prune::solver
