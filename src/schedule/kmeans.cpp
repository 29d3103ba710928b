#include <prune/schedule/kmeans.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace prune::schedule {

Clusters kmeans_1d(const std::vector<double>& values, int64_t groups) {
  // Distinct values with their counts, so that equal values stay together.
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> distinct;
  std::vector<double> weight;
  for (const double value : sorted) {
    if (distinct.empty() || value != distinct.back()) {
      distinct.push_back(value);
      weight.push_back(0.0);
    }
    weight.back() += 1.0;
  }
  const size_t n = distinct.size();
  const size_t k = std::min(n, static_cast<size_t>(groups));

  // Prefix sums give the squared deviation of any run in constant time; centring avoids cancellation.
  const double mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) /
                      std::max<double>(1.0, static_cast<double>(sorted.size()));
  std::vector<double> count(n + 1), sum(n + 1), squares(n + 1);
  for (size_t i = 0; i < n; ++i) {
    const double centered = distinct[i] - mean;
    count[i + 1] = count[i] + weight[i];
    sum[i + 1] = sum[i] + weight[i] * centered;
    squares[i + 1] = squares[i] + weight[i] * centered * centered;
  }
  const auto deviation = [&](size_t begin, size_t end) {
    const double s = sum[end] - sum[begin];
    return squares[end] - squares[begin] - s * s / (count[end] - count[begin]);
  };

  // best[g][end]: least deviation of the first `end` values in g + 1 groups.
  // from[g][end]: where the last of these groups begins.
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> best(k, std::vector<double>(n + 1, kInfinity));
  std::vector<std::vector<size_t>> from(k, std::vector<size_t>(n + 1, 0));
  for (size_t g = 0; g < k; ++g) {
    for (size_t end = g + 1; end <= n; ++end) {
      for (size_t begin = g; begin < (g == 0 ? 1 : end); ++begin) {
        const double cost = (g == 0 ? 0.0 : best[g - 1][begin]) + deviation(begin, end);
        if (cost < best[g][end]) {
          best[g][end] = cost;
          from[g][end] = begin;
        }
      }
    }
  }

  Clusters result;
  result.centroid.resize(k);
  std::vector<int64_t> group_of(n);
  for (size_t g = k, end = n; g-- > 0;) {
    const size_t begin = from[g][end];
    result.centroid[g] = mean + (sum[end] - sum[begin]) / (count[end] - count[begin]);
    std::fill(group_of.begin() + static_cast<std::ptrdiff_t>(begin),
              group_of.begin() + static_cast<std::ptrdiff_t>(end), static_cast<int64_t>(g));
    end = begin;
  }
  for (const double value : values) {
    const auto at = std::lower_bound(distinct.begin(), distinct.end(), value);
    result.group.push_back(group_of[static_cast<size_t>(at - distinct.begin())]);
  }
  return result;
}

}  // namespace prune::schedule
