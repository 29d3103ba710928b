#pragma once

#include <prune/models/decoder_spec.h>
#include <prune/stream/calibration_stream.h>

#include <cstddef>
#include <vector>

namespace prune::dist {

/// A site on a pass through a block.
struct SiteRoute {
  int64_t site = 0;
  int64_t cols = 0;
  int64_t owner = 0;  ///< the rank that factors its Hessian and solves its readers
  std::vector<size_t>
      readers;  ///< the chosen layers that read it, as positions in Block::linears()
};

/// Sites whose Hessians are accumulated in one forward.
using Stage = std::vector<SiteRoute>;

/// Their numbers.
std::vector<int64_t> sites_of(const Stage& stage);

/// How a pass goes through one block.
using BlockRoute = std::vector<Stage>;

/// Stream::Order::kSequential makes a stage of every site, kBlock one stage of all of them. Experts have stages of their
/// own in any order, of as many of them as there are ranks. Sites without chosen readers are left out.
/// @param linears of the block
/// @param chosen  for each of them, whether the pass solves it
BlockRoute route_through(const std::vector<models::LinearSpec>& linears,
                         const std::vector<bool>& chosen, stream::Order order, int64_t world_size);

/// The steps of a pass on one rank. A run carries them out; `prune plan` prices them.
class BlockSteps {
 public:
  virtual ~BlockSteps() = default;
  /// Runs this rank's samples to the stage's sites and sums their Hessians at the owners.
  virtual void accumulate(const Stage& stage) = 0;
  /// Factors the Hessian of a site that this rank owns.
  virtual void factorize(const SiteRoute& site) = 0;
  /// Prunes (or estimates) a reader with the factor of its site.
  virtual void solve(const SiteRoute& site, size_t reader) = 0;
  /// Frees the factor once all readers of its site are solved.
  virtual void release(const SiteRoute& site) = 0;
  /// Makes what the owner found for a reader known to all ranks.
  virtual void share(const SiteRoute& site, size_t reader) = 0;
};

/// Takes one rank's steps through a block: Algorithm 1 of arXiv 2301.00774 around its column loop. Of every stage
/// first all Hessians, then the sites that this rank owns one after the other, then the exchange of results.
void follow(const BlockRoute& route, int64_t rank, BlockSteps& steps);

}  // namespace prune::dist
