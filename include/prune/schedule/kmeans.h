#pragma once

#include <cstdint>
#include <vector>

namespace prune::schedule {

/// Groups of numbers by K-means. In one dimension dynamic programming over the sorted values solves
/// it exactly in O(K n²), so the groups depend on neither a start nor a seed.
struct Clusters {
  std::vector<int64_t> group;    ///< of each value; 0 has the smallest centroid
  std::vector<double> centroid;  ///< ascending; fewer than requested if fewer values are distinct
};

/// Equal values always share a group.
/// @param values finite
/// @param groups >= 1
Clusters kmeans_1d(const std::vector<double>& values, int64_t groups);

}  // namespace prune::schedule
