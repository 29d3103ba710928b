#pragma once

#include "inputs.h"
#include "journal.h"

namespace prune::pipeline {

/// Prunes block after block: Hessians of the inputs that the already pruned blocks produce, solver,
/// write, and the stream moved on through the pruned block (SparseGPT's order). Layers that the journal
/// has are not pruned again: the stream passes through their written weights. The report's layers are
/// rank 0's alone.
void prune_pass(const Inputs& inputs, const schedule::SparsitySchedule& schedule,
                const ModelStatistics& statistics, const PruneOptions& options, Journal& journal,
                report::RunReport& report, dist::Communicator& comm, Progress& progress);

}  // namespace prune::pipeline
