#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace prune::dist {

/// A linear layer [rows, cols] that reads a site.
struct SiteReader {
  int64_t site = 0;
  int64_t rows = 0;
  int64_t cols = 0;
};

/// Chooses the owner of each site of a block: the rank that factors its Hessian and prunes its readers.
/// Sites are dealt out by falling cost, each to the rank with the least work so far; then the rank with
/// the most work swaps with rank 0. The cost of a site is in src/dist/README.md, "Owners".
/// @param readers  the layers of the block that are pruned; all readers of a site have the same `cols`
/// @return site -> rank in [0, world_size)
std::map<int64_t, int64_t> site_owners(const std::vector<SiteReader>& readers, int64_t world_size);

}  // namespace prune::dist
