#pragma once

#include <prune/journal/run_inputs.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace prune::journal {

/// The options that a run's bytes depend on beyond the command line's words.
struct FingerprintOptions {
  int64_t estimate_nsamples = 0;
  double percdamp = 0.0;
  std::filesystem::path schedule_file;  ///< compared by content; empty: the schedule is made
  std::filesystem::path teacher;        ///< folder of another model to learn from; empty: none
};

/// What the bytes of a run's output follow from: SHA-256 of config.json and of every weight file, of the
/// calibration and evaluation token ids; dtype, kind of device and, on the CPU, the number of threads and
/// the product library; all options that can change a byte. Paths are left out, so models and texts may move.
/// Reads every weight file once, several in parallel.
/// @param flags all options in the command line's words
nlohmann::json run_fingerprint(const RunInputs& inputs, const FingerprintOptions& options,
                               const nlohmann::json& flags);

/// The part that the estimate pass depends on: model, calibration, samples, percdamp, dtype.
nlohmann::json estimate_fingerprint(const nlohmann::json& run);

/// @throws Error(input) naming the first field in which two fingerprints differ, with both values. Options
///         are named before what follows from them.
void check_fingerprint(const nlohmann::json& recorded, const nlohmann::json& now);

}  // namespace prune::journal
