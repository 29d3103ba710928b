#pragma once

#include "inputs.h"
#include "journal.h"

namespace prune::pipeline {

/// One forward of the calibration samples through the dense model, block by block; it goes on after the
/// blocks whose statistics the journal has, and notes every block's. All ranks return the same.
ModelStatistics estimate_pass(const Inputs& inputs, const PruneOptions& options, Journal& journal,
                              dist::Communicator& comm, Progress& progress);

}  // namespace prune::pipeline
