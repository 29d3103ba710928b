#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

namespace prune::calibration {

/// Calls `row` with each row of a .jsonl, .json or .parquet file as a JSON value, for files whose rows are more than
/// texts. Files of other names are read as .jsonl.
/// @throws Error(input) with file and line or row, also for what `row` throws.
void for_each_row_object(const std::filesystem::path& path,
                         const std::function<void(const nlohmann::ordered_json&)>& row);

}  // namespace prune::calibration
