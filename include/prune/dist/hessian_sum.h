#pragma once

#include <prune/dist/communicator.h>
#include <prune/dist/sample_split.h>
#include <prune/hessian/accumulator.h>

#include <vector>

namespace prune::dist {

/// The Hessian of one site over the calibration samples of all ranks. Each rank adds its own samples; then
/// reduce_() brings the sums together on the site's owner. Every other rank sends one lower triangle, or a
/// few if a deterministic split gives it chunks that are not one branch of the tree.
class HessianSum {
 public:
  HessianSum(int64_t cols, at::Device device, const SampleSplit& split, Communicator& comm);

  /// @param rows  of the next samples of this rank, all from one chunk
  void add(const hessian::SampleRows& rows);

  /// Called by all ranks once each has added its samples. Only the owner keeps its memory.
  /// @throws Error(numeric) on all ranks, naming the first sample that is not finite.
  void reduce_(int64_t owner);

  /// On the owner, after reduce_(): H over all samples, as HessianAccumulator::finish() returns it.
  Tensor finish();

 private:
  // Sum over consecutive chunks.
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
  std::vector<Part> parts_;  // by chunk
  int64_t next_sample_;
};

}  // namespace prune::dist
