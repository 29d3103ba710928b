#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/models/model.h>

#include <optional>
#include <set>
#include <string>

namespace prune::journal {

/// The opened inputs of a pruning run.
struct RunInputs {
  models::Model model;
  std::set<std::string> chosen;  ///< names of the layers to prune
  calibration::TokenSet calibration;
  std::optional<calibration::TokenSet> evaluation;
  models::KeptUnits kept = {};  ///< of the model in the folder
};

}  // namespace prune::journal
