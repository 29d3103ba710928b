// Whole columns against the equations written out, one removal after the other.
#include <gtest/gtest.h>
#include <prune/solver/keep_columns.h>

#include <limits>
#include <set>

#include "problem.h"

namespace prune {
namespace {

Tensor list(const std::set<int64_t>& columns) {
  return at::tensor(std::vector<int64_t>(columns.begin(), columns.end()), at::kLong);
}

std::set<int64_t> columns_of(const std::set<int64_t>& units, int64_t size) {
  std::set<int64_t> columns;
  for (const int64_t unit : units) {
    for (int64_t i = 0; i < size; ++i) columns.insert(unit * size + i);
  }
  return columns;
}

/// tr(W_S (H⁻¹_SS)⁻¹ W_Sᵀ) of the dense weight: what it costs to remove S and update the rest.
double cost(const Tensor& weight, const Tensor& inverse, const std::set<int64_t>& columns) {
  const Tensor s = list(columns);
  const Tensor part = weight.index_select(1, s);
  const Tensor among = at::linalg_inv(inverse.index_select(0, s).index_select(1, s));
  return at::mm(part, among).mul(part).sum().item<double>();
}

struct Expected {
  std::vector<int64_t> kept;
  Tensor weight;
  double loss;
};

Expected one_by_one(const test::Problem& problem, int64_t size, int64_t keep) {
  const Tensor hessian = problem.factor.hessian.to(at::kDouble);
  const Tensor inverse = at::linalg_inv(hessian);
  const Tensor weight = problem.weight.to(at::kDouble).masked_fill(problem.factor.dead, 0.0);
  const int64_t units = weight.size(1) / size;
  std::set<int64_t> removed;
  while (units - std::ssize(removed) > keep) {
    double least = std::numeric_limits<double>::infinity();
    int64_t cheapest = -1;
    for (int64_t unit = 0; unit < units; ++unit) {
      if (removed.contains(unit)) continue;
      std::set<int64_t> with = removed;
      with.insert(unit);
      const double now = cost(weight, inverse, columns_of(with, size));
      if (now >= least) continue;
      least = now;
      cheapest = unit;
    }
    removed.insert(cheapest);
  }
  Expected expected;
  std::set<int64_t> stays;
  for (int64_t unit = 0; unit < units; ++unit) {
    if (removed.contains(unit)) continue;
    expected.kept.push_back(unit);
    stays.insert(unit);
  }
  const Tensor s = list(columns_of(removed, size));
  const Tensor among = at::linalg_inv(inverse.index_select(0, s).index_select(1, s));
  const Tensor whole =
      weight - at::mm(at::mm(weight.index_select(1, s), among), inverse.index_select(0, s));
  expected.weight = whole.index_select(1, list(columns_of(stays, size)));
  expected.loss = cost(weight, inverse, columns_of(removed, size));
  return expected;
}

void expect_equal(const solver::KeptColumns& got, const Expected& expected) {
  ASSERT_TRUE(at::equal(got.units, at::tensor(expected.kept, at::kLong))) << got.units;
  EXPECT_LT((got.weight - expected.weight).abs().max().item<double>(), 2e-3);
  EXPECT_NEAR(got.loss, expected.loss, 1e-3 * expected.loss + 1e-5 * got.energy);
  EXPECT_GT(got.energy, got.loss);
}

TEST(KeepColumns, SingleOnesGoInTheSequenceOfTheEquations) {
  const test::Problem problem = test::make_problem({.rows = 6, .cols = 40});
  expect_equal(solver::keep_columns(problem.weight, problem.factor, 1, 17),
               one_by_one(problem, 1, 17));
}

TEST(KeepColumns, NeighboursGoTogether) {
  const test::Problem problem = test::make_problem({.rows = 6, .cols = 40});
  expect_equal(solver::keep_columns(problem.weight, problem.factor, 4, 3),
               one_by_one(problem, 4, 3));
}

TEST(KeepColumns, ThoseWithoutActivationsGoFirst) {
  test::Problem problem = test::make_problem({.rows = 3, .cols = 12});
  for (const int64_t column : {2, 7}) {
    problem.hessian[column].zero_();
    problem.hessian.select(1, column).zero_();
  }
  Tensor scratch = problem.hessian.clone();
  problem.factor = hessian::factorize_(scratch, 0.01);
  const solver::KeptColumns got = solver::keep_columns(problem.weight, problem.factor, 1, 10);
  expect_equal(got, one_by_one(problem, 1, 10));
  EXPECT_FALSE(got.units.eq(2).logical_or(got.units.eq(7)).any().item<bool>());
  EXPECT_NEAR(got.loss, 0.0, 1e-4 * got.energy);
}

// More columns than are removed at once, and more than are candidates at once.
TEST(KeepColumns, ManyGoNearlyAsWellAsOneByOne) {
  const test::Problem problem = test::make_problem({.rows = 16, .cols = 300, .samples = 400});
  const solver::KeptColumns got = solver::keep_columns(problem.weight, problem.factor, 1, 230);
  const Expected expected = one_by_one(problem, 1, 230);
  EXPECT_LT(got.loss, 1.02 * expected.loss);
  // The weights are the best ones for the columns that stay: the gradient there is zero.
  Tensor change = problem.weight.clone().neg_();
  change.index_add_(1, got.units, got.weight);
  const Tensor gradient = at::mm(change, problem.factor.hessian).index_select(1, got.units);
  const Tensor scale = at::mm(problem.weight, problem.factor.hessian);
  EXPECT_LT(gradient.abs().max().item<double>(), 1e-3 * scale.abs().max().item<double>());
}

}  // namespace
}  // namespace prune
