#pragma once

#include <prune/models/model_shape.h>
#include <prune/recovery/timetable.h>
#include <prune/solver/options.h>
#include <prune/stream/calibration_stream.h>

#include <algorithm>
#include <compare>
#include <map>
#include <vector>

namespace prune::plan {

/// Blocks on which every step of a run costs the same.
struct BlockKind {
  int64_t example = 0;       ///< number of one of them
  std::vector<bool> chosen;  ///< by layer, true if it is pruned
  auto operator<=>(const BlockKind&) const = default;
};

/// Everything that the cost of a run depends on beside the machine. All counts are of the whole run; a rank's share
/// is derived.
struct RunShape {
  models::ModelShape model;  ///< without the units that are removed
  /// What chooses those units, in the whole model.
  struct Choice {
    int64_t elements = 0;       ///< of the weights that go; 0: none do
    int64_t blocks = 0;         ///< that go
    int64_t block_samples = 0;  ///< that a block is measured on
    int64_t blocks_again = 0;   ///< measured again after each removal
    bool scores_experts = false;
    bool solves_columns = false;  ///< heads or channels go
    double block_ratio = 1.0;     ///< elements of a whole block, per element of one that stays
  };
  Choice choice;
  std::vector<std::vector<bool>> chosen;  ///< by block and layer, true if it is pruned
  at::Device device = at::kCPU;
  at::ScalarType stored_dtype = at::kHalf;
  at::ScalarType dtype = at::kFloat;  ///< computing dtype
  solver::SolverOptions solver;       ///< with the target as sparsity of every layer
  recovery::RecoveryOptions recovery;
  int64_t held_out_samples = 0;  ///< of the recovery
  double percdamp = 0.01;
  bool act_order = false;
  bool packed = false;  ///< quantized weights are written as codes
  stream::Order order = stream::Order::kSequential;
  int64_t nsamples = 0;
  int64_t estimate_nsamples = 0;  ///< samples of the estimate pass
  int64_t seqlen = 0;
  int64_t batch = 0;      ///< samples that run through a block at once
  int64_t segments = 0;   ///< of each of the two evaluations; 0: none
  bool estimates = true;  ///< an estimate pass comes first
  bool adopts = false;  ///< nothing is pruned: the layers are as sparse as they are and may recover
  int64_t trials = 0;   ///< schedules that `auto` tries
  int64_t trial_samples = 0;  ///< samples that a trial prunes with; as many more are measured
  int64_t world_size = 1;

  int64_t blocks() const { return model.config.blocks; }
  /// How many blocks there are of each kind.
  std::map<BlockKind, double> kinds_of_block() const;
  /// Samples that run through a block at once if a rank has so many.
  int64_t batch_of(int64_t samples) const { return std::clamp<int64_t>(samples, 1, batch); }
  /// The share of the rank that has most.
  int64_t largest_share(int64_t samples) const { return (samples + world_size - 1) / world_size; }
  /// Tokens of the calibration samples of the rank that runs most of them.
  int64_t tokens_of_a_rank() const { return largest_share(nsamples) * seqlen; }
};

/// Bytes of the weights as stored, of the output's weights, and of the residual stream of the calibration samples
/// on the rank that runs most of them.
int64_t input_bytes(const RunShape& run);
int64_t output_bytes(const RunShape& run);
int64_t states_bytes(const RunShape& run);
/// Bytes beside the output that lie on its disk until the end: two states of the recovery, and the model in 16 bits if
/// it is rounded after that.
int64_t recovery_bytes(const RunShape& run);

}  // namespace prune::plan
