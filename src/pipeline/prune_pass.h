#pragma once

#include <prune/calibration/calibration_set.h>

#include "journal.h"

namespace prune::pipeline {

/// Prunes block after block: Hessians of the inputs that the already pruned blocks produce, solver,
/// write, and the stream moved on through the pruned block (SparseGPT's order). Layers that the journal
/// has are not pruned again: the stream passes through their written weights.
void prune_pass(const models::Model& model, const calibration::TokenSet& tokens,
                const schedule::SparsitySchedule& schedule, const ModelStatistics& statistics,
                const PruneOptions& options, Journal& journal, report::RunReport& report,
                Progress& progress);

}  // namespace prune::pipeline
