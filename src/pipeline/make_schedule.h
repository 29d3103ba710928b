#pragma once

#include "inputs.h"
#include "journal.h"

namespace prune::pipeline {

/// Whether the schedule asked for is made from the statistics of the estimate pass.
bool needs_estimates(const PruneOptions& options);

/// Whether `auto` tries schedules first.
bool needs_trials(const PruneOptions& options);

inline constexpr int64_t kTrials = 4;

/// Calibration samples that a trial prunes with; as many measure.
int64_t trial_samples(int64_t nsamples);

/// The schedule that the options ask for. `auto` tries uniform and K-means at half, once and one and a half
/// times --spread: for each, a part of the calibration samples prunes the model in memory, and another part,
/// held out, measures it; schedule::choose_candidate says which it takes. The scores go into the report
/// and the journal. Of several ranks each scores one candidate at a time, alone.
/// @throws Error(input) for a schedule file; Error(numeric) as prune_layer_.
schedule::SparsitySchedule make_schedule(const Inputs& inputs, const ModelStatistics& statistics,
                                         const PruneOptions& options, Journal& journal,
                                         report::RunReport& report, dist::Communicator& comm,
                                         Progress& progress);

}  // namespace prune::pipeline
