#pragma once

#include <prune/models/model.h>

#include <nlohmann/json.hpp>
#include <string>

namespace prune::report {

/// What a checkpoint holds: family, files, and for every linear layer shape, dtype, bytes and the share
/// of zeros. Reads every linear weight once, one at a time.
nlohmann::json inspect(const models::Model& model, const std::string& id);

/// The same as a table, one line per kind of layer and block.
std::string inspect_table(const nlohmann::json& inspection);

}  // namespace prune::report
