#pragma once

#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/journal/run_inputs.h>
#include <prune/models/model_shape.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/run_report.h>

namespace prune::pipeline {

/// The model without the units that `options` remove, whichever they are.
/// @throws Error(usage) naming the flag if the model has no such units, its config.json cannot say how many stay, or
///         the fraction removes none or all of them
models::ModelShape with_fewer_units(const models::ModelShape& shape, const PruneOptions& options);

/// Removes blocks, then experts, then heads and channels, each from the model without those before. What is chosen is
/// recorded in the unfinished output, from which a resumed run takes it.
/// @param header  the report so far, on rank 0 with the run's fingerprint; gets what is chosen
/// @return inputs with the smaller model; the same inputs if the run's output is finished
/// @throws Error as with_fewer_units(), before any work; as checkpoint::OutputFolder
journal::RunInputs remove_units(journal::RunInputs inputs, const PruneOptions& options,
                                report::RunReport& header, dist::Communicator& comm,
                                Progress& progress);

}  // namespace prune::pipeline
