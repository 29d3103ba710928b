#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/models/model.h>

#include <nlohmann/json.hpp>
#include <string>

namespace prune::pipeline {

/// What the estimate pass's result follows from: SHA-256 of config.json and of every weight file, of the
/// calibration tokens' ids, percdamp and the computing dtype. Paths are left out: a model may move.
/// Reads all weight files once, several at a time.
nlohmann::json estimate_fingerprint(const models::Model& model, const calibration::TokenSet& tokens,
                                    double percdamp);

/// @throws Error(input) naming the first field of two fingerprints that differs, with both values.
void check_fingerprint(const nlohmann::json& recorded, const nlohmann::json& now);

}  // namespace prune::pipeline
