#pragma once

#include <prune/dist/communicator.h>
#include <prune/dist/sample_split.h>
#include <prune/hessian/accumulator.h>

#include <vector>

namespace prune::dist {

/// The Hessian of one layer input over the calibration samples of all ranks. Each rank adds its own samples,
/// in order; then the sums come together at the rank that needs the whole: every other rank sends one
/// lower triangle (a few, with a deterministic split of which a rank holds no whole branch).
class HessianSum {
 public:
  HessianSum(int64_t cols, at::Device device, const SampleSplit& split, Communicator& comm);

  /// @param x [samples, seqlen, cols], the next samples of this rank, all of one chunk
  void add(const Tensor& x);

  /// Called by all ranks when each has added its samples. The memory is given back but on the owner.
  /// @throws Error(numeric) on all ranks, naming the first sample that is not finite.
  void reduce_(int64_t owner);

  /// On the owner after reduce_(): the whole H, as HessianAccumulator::finish().
  Tensor finish();

 private:
  // The sum over consecutive chunks.
  struct Part {
    Range chunks;
    hessian::HessianAccumulator sum;
  };

  void merge_finished_();
  int64_t reduce_(Range chunks, int64_t owner);
  std::vector<Part>::iterator part_from(int64_t chunk);
  void send_part_(int64_t chunk, int64_t to);
  void receive_part_(int64_t chunk, int64_t from);

  int64_t cols_;
  at::Device device_;
  SampleSplit split_;
  Communicator* comm_;
  std::vector<Part> parts_;  // in order
  int64_t next_sample_;
};

}  // namespace prune::dist
