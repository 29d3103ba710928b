#pragma once

#include <prune/plan/cost.h>
#include <prune/plan/run_shape.h>

#include <filesystem>
#include <map>
#include <utility>
#include <vector>

namespace prune::plan {

/// What a step costs that is repeated for every batch of samples.
struct BatchCost {
  Cost first;           ///< of the first batch; its memory is that of every batch
  double next_s = 0.0;  ///< time of each further one
  double elapsed_s(double batches) const { return first.elapsed_s + next_s * (batches - 1.0); }
};

/// The steps of the passes through one block that depend on the samples.
struct BlockCosts {
  Cost load;
  std::vector<BatchCost> stages;  ///< prune pass: to the sites of each stage, with their Hessians
  BatchCost finish;               ///< prune pass: from the last stage to the end of the block
  std::vector<BatchCost> estimate_stages;  ///< estimate pass: by stage, with Hessians and energies
  BatchCost forward;                       ///< evaluation: the whole block
};

struct SiteCosts {
  Bytes hessian;   ///< what a finished Hessian holds
  Cost factorize;  ///< on top of it
};

struct LayerCosts {
  Cost estimate;
  Cost prune;           ///< with the run's solver
  Cost trial;           ///< with the solver of a trial of --schedule auto
  double hash_s = 0.0;  ///< SHA-256 of what is written, on one thread
};

/// What recovery costs in a block.
struct RecoveryCosts {
  Cost sample;        ///< forward, and back for the gradients of the trained layers
  Cost update;        ///< Adam's step, and expanding the weights twice
  double states = 0;  ///< bytes of the kept weights, their moments and bits
};

/// Everything a plan is priced with.
struct Costs {
  /// By the kind of block and the samples in a batch.
  std::map<std::pair<BlockKind, int64_t>, BlockCosts> blocks;
  std::map<int64_t, SiteCosts> sites;                        ///< by columns
  std::map<std::pair<int64_t, int64_t>, LayerCosts> layers;  ///< by rows, columns
  std::map<BlockKind, RecoveryCosts> recovery;               ///< empty without --recover
  Cost divergence;  ///< of a sample from the dense model, and its derivative; keeps both heads
  Cost embedding;   ///< of a sample
  Cost head;        ///< of a segment's loss; keeps the head
  double hashed_bytes = 0.0;  ///< a second, of the weight files; these four are 0 if not measured
  double read_bytes = 0.0;    ///< a second, from the disk
  double stored_bytes = 0.0;  ///< a second, to the disk, synced
  double record_s = 0.0;      ///< of one record of the journal
};

/// Runs the functions that the passes call on random numbers of the run's own shapes, in a few seconds. A block of
/// which that would take too long is measured at two smaller widths, a layer with fewer rows and columns, and the
/// rest is extrapolated. Leaves the disk's figures at 0.
/// @param scratch a folder for files that do not outlive the call
Costs measure_costs(const RunShape& run, const std::filesystem::path& scratch);

/// Bytes a second of SHA-256 on one thread.
double measure_hash_rate();

struct DiskCosts {
  double stored_bytes =
      0.0;  ///< bytes a second written and synced by a CheckpointWriter; 0: not writable
  double record_s = 0.0;  ///< seconds of one CheckpointWriter::record()
};

/// Of a small checkpoint written in `folder`, which is gone afterwards.
DiskCosts measure_disk(const std::filesystem::path& folder);

/// Bytes a second at which the beginning of `file` is read. A file in the page cache is fast, as it will be for the
/// run.
double measure_read_rate(const std::filesystem::path& file);

}  // namespace prune::plan
