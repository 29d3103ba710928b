#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/pipeline/prune_run.h>

#include <functional>
#include <memory>

#include "command_line.h"

// One process of several that work on a run (torchrun, srun), or alone.
namespace prune::cli {

/// Adds --dist-timeout.
void add_dist_timeout(CLI::App& app, int64_t& timeout_s);

/// Meets the other ranks and does the work with them. Only rank 0 logs, but for warnings; an error of any
/// rank names it, and ends all.
/// @param flags whose log is silenced on other ranks
/// @return true on rank 0, which shows the result
bool with_ranks(CommonFlags& flags, int64_t timeout_s,
                const std::function<void(dist::Communicator& comm)>& work);

/// Has rank 0 look first, so that what it downloads is there for the others.
void rank_0_first(dist::Communicator& comm, const std::function<void()>& look);

/// Gives each rank of a machine a GPU of its own, unless --device names one. Called by all ranks.
/// @throws Error(device) when two ranks use the same.
void choose_gpu(pipeline::ModelChoice& model, dist::Communicator& comm);

/// Progress on rank 0; the others say nothing.
std::unique_ptr<Progress> make_progress(const dist::Communicator& comm);

}  // namespace prune::cli
