#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/pipeline/prune_run.h>

#include <functional>
#include <memory>

#include "command_line.h"

// This process as a rank of a run that torchrun or srun started, or as its only process.
namespace prune::cli {

/// Adds --dist-timeout.
void add_dist_timeout(CLI::App& app, int64_t& timeout_s);

/// Connects to the other ranks and runs `work` on each. Ranks above 0 log warnings only. An error on any
/// rank ends all of them, with that rank's number in the message.
/// @param flags  on ranks above 0 its log options are changed
/// @return true on rank 0, which prints the result
bool with_ranks(CommonFlags& flags, int64_t timeout_s,
                const std::function<void(dist::Communicator& comm)>& work);

/// Runs `look` on rank 0 and then on the others, which find what rank 0 has downloaded.
void rank_0_first(dist::Communicator& comm, const std::function<void()>& look);

/// Gives each rank of a machine its own GPU, unless --device names one. All ranks must call it.
/// @throws Error(device) when two ranks use the same GPU.
void choose_gpu(pipeline::ModelChoice& model, dist::Communicator& comm);

/// Progress on rank 0; none on the others.
std::unique_ptr<Progress> make_progress(const dist::Communicator& comm);

}  // namespace prune::cli
