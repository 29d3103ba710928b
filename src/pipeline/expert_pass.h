#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/journal/run_inputs.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/run_report.h>

namespace prune::pipeline {

struct FewerExperts {
  journal::RunInputs inputs;
  report::ExpertsReport report;
};

/// Scores every expert on the calibration samples and removes those with the lowest scores: REAP's (Lasby et al. 2025,
/// arXiv 2510.13999, equation 9), the mean of gate · |output| over the tokens that the expert gets. As many stay in each
/// block, and in each group of a router with groups. Samples that are held out of the scores measure what it has cost.
/// @throws Error(usage) if fewer would stay than a token needs
FewerExperts remove_experts(journal::RunInputs inputs, const PruneOptions& options,
                            dist::Communicator& comm, Progress& progress);

/// How many of so many experts stay.
/// @throws Error(usage) naming --experts
int64_t experts_left(const models::RouterSpec& router, double removed);

}  // namespace prune::pipeline
