#pragma once

#include <nlohmann/json.hpp>

#include "inputs.h"

namespace prune::pipeline {

/// What the bytes of a run's output follow from: SHA-256 of config.json and of every weight file, of the
/// token ids of calibration and evaluation; dtype, kind of device and, on the CPU, number of threads in
/// use; all options but those that change no byte. Paths are left out: models and texts may move.
/// Reads all weight files once, several at a time.
/// @param flags all options as the command line spells them
nlohmann::json run_fingerprint(const Inputs& inputs, const PruneOptions& options,
                               const nlohmann::json& flags);

/// The part of it that the estimate pass's result follows from: model, calibration, samples, percdamp, dtype.
nlohmann::json estimate_fingerprint(const nlohmann::json& run);

/// @throws Error(input) naming the first field of two fingerprints that differs, with both values; an
///         option comes before what follows from it.
void check_fingerprint(const nlohmann::json& recorded, const nlohmann::json& now);

}  // namespace prune::pipeline
