#pragma once

#include <prune/calibration/calibration_set.h>

#include "journal.h"

namespace prune::pipeline {

/// One forward of the calibration samples through the dense model, block by block; it goes on after the
/// blocks whose statistics the journal has, and notes every block's.
ModelStatistics estimate_pass(const models::Model& model, const calibration::TokenSet& tokens,
                              const std::set<std::string>& chosen, const PruneOptions& options,
                              Journal& journal, Progress& progress);

}  // namespace prune::pipeline
