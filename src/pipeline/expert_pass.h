#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/journal/run_inputs.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/run_report.h>

namespace prune::pipeline {

/// Scores every expert on the calibration samples and chooses those that stay: by REAP's score (Lasby et al. 2025,
/// arXiv 2510.13999, equation 9), the mean of gate · |output| over the tokens that the expert gets. As many stay in each
/// block, and in each group of a router with groups.
/// @throws Error(usage) if fewer would stay than a token needs
report::ExpertsReport choose_experts(const journal::RunInputs& inputs, const PruneOptions& options,
                                     dist::Communicator& comm, Progress& progress);

/// How many of so many experts stay.
/// @throws Error(usage) naming --experts
int64_t experts_left(const models::RouterSpec& router, double removed);

}  // namespace prune::pipeline
