#include <gtest/gtest.h>
#include <prune/schedule/kmeans.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace prune::schedule {
namespace {

double deviation(const std::vector<double>& values, const Clusters& clusters) {
  double sum = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += std::pow(values[i] - clusters.centroid[static_cast<size_t>(clusters.group[i])], 2);
  }
  return sum;
}

// Tries every way to cut the sorted values into `groups` runs.
double best_deviation(std::vector<double> values, int64_t groups) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<int64_t>(values.size());
  double best = std::numeric_limits<double>::infinity();
  std::vector<int64_t> cut(static_cast<size_t>(groups) + 1);
  const auto run = [&](int64_t begin, int64_t end) {
    double mean = 0.0;
    for (int64_t i = begin; i < end; ++i) mean += values[static_cast<size_t>(i)];
    mean /= static_cast<double>(end - begin);
    double sum = 0.0;
    for (int64_t i = begin; i < end; ++i) sum += std::pow(values[static_cast<size_t>(i)] - mean, 2);
    return sum;
  };
  const auto recurse = [&](auto&& self, int64_t group, int64_t begin, double cost) -> void {
    if (group == groups - 1) {
      best = std::min(best, cost + run(begin, n));
      return;
    }
    for (int64_t end = begin + 1; end <= n - (groups - 1 - group); ++end) {
      self(self, group + 1, end, cost + run(begin, end));
    }
  };
  recurse(recurse, 0, 0, 0.0);
  return best;
}

TEST(Kmeans, SeparatesObviousGroups) {
  const Clusters clusters = kmeans_1d({5.0, 0.1, 9.9, 0.0, 5.2, 10.1}, 3);
  EXPECT_EQ(clusters.group, (std::vector<int64_t>{1, 0, 2, 0, 1, 2}));
  EXPECT_NEAR(clusters.centroid[0], 0.05, 1e-12);
  EXPECT_NEAR(clusters.centroid[1], 5.1, 1e-12);
  EXPECT_NEAR(clusters.centroid[2], 10.0, 1e-12);
}

TEST(Kmeans, IsOptimalOnRandomValues) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal(1e6, 3.0);  // far from zero: sums must not cancel
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<double> values(11);
    for (double& value : values) value = normal(random);
    for (const int64_t groups : {1, 2, 3, 4, 6}) {
      EXPECT_NEAR(deviation(values, kmeans_1d(values, groups)), best_deviation(values, groups),
                  1e-6)
          << "trial " << trial << " groups " << groups;
    }
  }
}

TEST(Kmeans, EqualValuesShareAGroupAndFewValuesMakeFewGroups) {
  const Clusters clusters = kmeans_1d({2.0, 1.0, 2.0, 2.0}, 6);
  EXPECT_EQ(clusters.group, (std::vector<int64_t>{1, 0, 1, 1}));
  EXPECT_EQ(clusters.centroid.size(), 2U);
  EXPECT_EQ(kmeans_1d({3.0}, 4).centroid, (std::vector<double>{3.0}));
}

}  // namespace
}  // namespace prune::schedule
