#pragma once

#include "run.h"

namespace prune::pipeline {

/// One forward of the first calibration samples through the dense model. It continues after the blocks whose
/// statistics the journal has, and records every block's. All ranks return the same.
journal::ModelStatistics estimate_pass(const Run& run);

}  // namespace prune::pipeline
