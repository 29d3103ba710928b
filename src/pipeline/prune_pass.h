#pragma once

#include <prune/checkpoint/checkpoint_writer.h>

#include "estimate_pass.h"

namespace prune::pipeline {

/// Prunes block after block: Hessians of the inputs that the already pruned blocks produce, solver,
/// write, and the stream moved on through the pruned block (SparseGPT's order).
void prune_pass(const models::Model& model, const calibration::TokenSet& tokens,
                const schedule::SparsitySchedule& schedule, const ModelStatistics& statistics,
                const PruneOptions& options, checkpoint::CheckpointWriter& writer,
                report::RunReport& report, Progress& progress);

}  // namespace prune::pipeline
