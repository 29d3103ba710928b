#pragma once

#include <cstdint>
#include <vector>

namespace prune::schedule {

/// K-means on a line, solved exactly by dynamic programming over the sorted values (O(K n²)), so that
/// the groups do not depend on a start or a seed.
struct Clusters {
  std::vector<int64_t> group;    ///< for each value, 0 = smallest centroid
  std::vector<double> centroid;  ///< ascending; fewer than asked for if there are fewer values
};

/// @param values finite; @param groups >= 1. Equal values always share a group.
Clusters kmeans_1d(const std::vector<double>& values, int64_t groups);

}  // namespace prune::schedule
