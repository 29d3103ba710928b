#pragma once

#include "run.h"

namespace prune::pipeline {

/// True if the schedule is made from the statistics of the estimate pass.
bool needs_estimates(const PruneOptions& options);

/// True if the weights are taken as they are: nothing is pruned or rounded.
bool adopts_weights(const PruneOptions& options);

/// Number of schedules that `auto` tries; 0 for any other schedule.
int64_t trials(const PruneOptions& options);

/// Calibration samples that a trial prunes with. As many more measure it.
int64_t trial_samples(int64_t nsamples);

/// The schedule that the options ask for. `auto` tries uniform and K-means at 0.5, 1 and 1.5 times --spread: a
/// part of the calibration samples prunes the model in memory, another part, held out, measures it;
/// schedule::choose_candidate decides. The scores are recorded in the journal. With several ranks each scores
/// one candidate at a time, alone.
/// @throws Error(input) for a schedule file; Error(numeric) as solver::prune_stored_.
schedule::SparsitySchedule make_schedule(const Run& run,
                                         const journal::ModelStatistics& statistics);

}  // namespace prune::pipeline
