#pragma once

#include <prune/pipeline/prune_run.h>
#include <prune/plan/plan.h>

namespace prune::pipeline {

/// What prune_run() would do and cost with these options, on each of `world_size` ranks. Opens the inputs as
/// the run would and measures the machine for about two seconds; reads no weight and writes nothing that
/// stays. Without weight files in the model's folder its config.json must do, and without a calibration text
/// or tokenizer the time to read the text is left out; the plan's warnings say so.
/// @throws Error as prune_run() would for the same inputs.
plan::Plan plan_run(const PruneOptions& options, int64_t world_size = 1);

}  // namespace prune::pipeline
