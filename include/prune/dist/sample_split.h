#pragma once

#include <cstdint>

namespace prune::dist {

/// Consecutive things that one rank has.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// Part `part` of `count` things dealt out evenly in order, the first parts getting the rest.
Range even_part(int64_t count, int64_t parts, int64_t part);

/// Which calibration samples a rank runs, and in which order their Hessians are added up. The samples are
/// cut into chunks; a chunk is summed by one rank, the sums of the chunks along a fixed binary tree.
/// There are as many chunks as ranks; with `deterministic` always 16, so that the sum is the same, bit for
/// bit, whoever holds the chunks.
class SampleSplit {
 public:
  /// @throws Error(usage) if there are more ranks than chunks: each must have one.
  SampleSplit(int64_t samples, int64_t ranks, bool deterministic);

  int64_t chunks() const { return chunks_; }
  Range samples_of_chunk(int64_t chunk) const;
  Range chunks_of(int64_t rank) const;
  Range samples_of(int64_t rank) const;
  int64_t rank_of(int64_t chunk) const;

 private:
  int64_t samples_;
  int64_t ranks_;
  int64_t chunks_;
};

}  // namespace prune::dist
