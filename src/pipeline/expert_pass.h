#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/journal/run_inputs.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/run_report.h>

namespace prune::pipeline {

/// Scores every expert on the calibration samples and chooses those with the highest scores: REAP's (Lasby et al. 2025,
/// arXiv 2510.13999, equation 9), the mean of |gate · output| over the tokens that the expert gets. As many stay in each
/// block, and in each group of a router with groups. Samples that are held out of the scores measure what it costs.
/// @throws Error(usage) if fewer would stay than a token needs
report::ExpertsReport choose_experts(const journal::RunInputs& inputs, const PruneOptions& options,
                                     const std::filesystem::path& scratch, dist::Communicator& comm,
                                     Progress& progress);

/// Measures the model without the others.
void measure_experts_(report::ExpertsReport& report, const journal::RunInputs& smaller,
                      const PruneOptions& options, const std::filesystem::path& scratch,
                      dist::Communicator& comm, Progress& progress);

/// True if these are as many of this model's experts as stay without this fraction.
bool fits(const report::ExpertsReport& chosen, const models::ModelShape& shape, double removed);

/// The same model without this fraction of each block's experts, whichever they are.
/// @throws Error(usage) naming --experts if it has none, or fewer would stay than a token needs
models::ModelShape with_fewer_experts(const models::ModelShape& shape, double removed);

}  // namespace prune::pipeline
