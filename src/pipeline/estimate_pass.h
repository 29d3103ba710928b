#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/loss/estimate.h>
#include <prune/pipeline/prune_run.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace prune::pipeline {

/// What the estimate pass over the dense model found; the schedule is made from it.
struct ModelStatistics {
  std::map<std::string, loss::LayerLoss> layers;
  std::vector<double> stream_energy;  ///< per block: median |x|² of the stream after it
  std::vector<report::Fallback> fallbacks;
};

/// One forward of the calibration samples through the dense model, block by block.
/// @param scratch folder for the hidden states, if they fit into no memory.
ModelStatistics estimate_pass(const models::Model& model, const calibration::TokenSet& tokens,
                              const std::set<std::string>& chosen, const PruneOptions& options,
                              const std::filesystem::path& scratch, Progress& progress);

}  // namespace prune::pipeline
