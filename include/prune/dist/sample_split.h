#pragma once

#include <cstdint>

namespace prune::dist {

/// Half-open range [begin, end) of samples or chunks.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// Range number `part` when `count` items are cut into `parts` consecutive ranges of equal length; the first
/// `count % parts` ranges are one longer.
Range even_part(int64_t count, int64_t parts, int64_t part);

/// Which calibration samples each rank runs, and how their Hessians are added up. The samples are cut into
/// chunks; one rank sums a chunk, and a fixed binary tree sums the chunks. There is one chunk per rank. With
/// `deterministic` there are 16 (or one per sample, if fewer) for any number of ranks, so the sum is the
/// same, bit for bit, with 1 to 16 ranks.
class SampleSplit {
 public:
  /// @throws Error(usage) if there are more ranks than chunks: each rank needs one.
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
