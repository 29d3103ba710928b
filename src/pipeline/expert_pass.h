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
/// arXiv 2510.13999, equation 9), the mean of |gate · output| over the tokens that the expert gets. As many stay in each
/// block, and in each group of a router with groups. Samples that are held out of the scores measure what it has cost.
/// @throws Error(usage) if fewer would stay than a token needs
FewerExperts remove_experts(journal::RunInputs inputs, const PruneOptions& options,
                            dist::Communicator& comm, Progress& progress);

/// True if these are as many of this model's experts as stay without this fraction.
bool fits(const report::ExpertsReport& chosen, const models::ModelShape& shape, double removed);

/// The same model without this fraction of each block's experts, whichever they are.
/// @throws Error(usage) naming --experts if it has none, or fewer would stay than a token needs
models::ModelShape with_fewer_experts(const models::ModelShape& shape, double removed);

}  // namespace prune::pipeline
