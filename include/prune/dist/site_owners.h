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

/// Which rank factors the Hessian of each site of a block and prunes the site's readers.
/// Sites are dealt out from the most costly to the cheapest, each to the rank with the least work so far; then
/// the rank with the most work swaps with rank 0.
/// @param readers  the block's layers to be pruned; readers of one site have the same `cols`
/// @return site -> rank in [0, world_size)
std::map<int64_t, int64_t> site_owners(const std::vector<SiteReader>& readers, int64_t world_size);

}  // namespace prune::dist
