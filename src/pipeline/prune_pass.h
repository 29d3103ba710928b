#pragma once

#include "run.h"

namespace prune::pipeline {

/// Prunes block after block: Hessians of the activations that the pruned layers so far produce, solver, write,
/// and the stream moved on through the pruned block. Layers in the journal are not pruned again; the stream
/// passes through their written weights.
void prune_pass(const Run& run, const schedule::SparsitySchedule& schedule,
                const journal::ModelStatistics& statistics);

/// Takes the layers of a sparse model over as they are.
void adopt_pass(const Run& run, const schedule::SparsitySchedule& schedule);

}  // namespace prune::pipeline
