#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/dist/sample_split.h>
#include <prune/journal/journal.h>
#include <prune/pipeline/prune_run.h>
#include <prune/stream/hidden_states.h>

#include <string>

namespace prune::pipeline {

/// A pruning run in progress, as every stage sees it.
struct Run {
  const PruneOptions& options;
  const journal::RunInputs& inputs;
  journal::Journal& journal;
  dist::Communicator& comm;
  Progress& progress;

  /// Which of so many calibration samples each rank runs.
  /// @throws Error(usage) if a rank would have nothing to do
  dist::SampleSplit split(int64_t samples) const {
    return {samples, comm.size(), options.deterministic};
  }
};

/// Passes progress on and names the block in progress to the communicator, so that an error says where it was.
class RankProgress : public Progress {
 public:
  RankProgress(Progress& shown, dist::Communicator& comm) : shown_(&shown), comm_(&comm) {}

  void begin(const std::string& phase, int64_t steps) override;
  void detail(const std::string& text) override { shown_->detail(text); }
  void advance() override;

 private:
  void name_step();

  Progress* shown_;
  dist::Communicator* comm_;
  std::string phase_;
  int64_t step_ = 0;
  int64_t steps_ = 0;
};

/// The dense model: that of `prune recover`, else the model to prune.
inline const ModelChoice& teacher_of(const PruneOptions& options) {
  return options.teacher ? *options.teacher : options.model;
}

/// "damp raised 2 times to 1.000e-02 for the factorisation".
std::string damp_text(int64_t damp_raises, double damp);

/// The owner's tensor on all ranks, sent from device to device.
/// @param mine  of the owner. @return on the CPU on the other ranks
Tensor shared_weight(const Tensor& mine, at::IntArrayRef shape, at::ScalarType dtype, int64_t owner,
                     at::Device device, dist::Communicator& comm);

/// The residual stream of this rank's calibration samples before the first block.
/// @param scratch folder of the file, if it is needed
stream::HiddenStates embed_share(const journal::RunInputs& inputs, const PruneOptions& options,
                                 const dist::SampleSplit& split, int64_t rank,
                                 const std::filesystem::path& scratch);
inline stream::HiddenStates embed_share(const Run& run, const dist::SampleSplit& split) {
  return embed_share(run.inputs, run.options, split, run.comm.rank(), run.journal.scratch());
}

}  // namespace prune::pipeline
