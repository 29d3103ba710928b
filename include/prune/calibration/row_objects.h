#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace prune::calibration {

/// False for a program built without Arrow, which cannot read .parquet.
bool reads_parquet();

/// Calls `row` with each row of a .jsonl, .json or .parquet file as a JSON value, for files whose rows are more than
/// texts. Files of other names are read as .jsonl.
/// @param keys  the columns to read of .parquet; the first one tells a row from an object with rows in .json
/// @throws Error(input) with file and line or row, also for what `row` throws.
void for_each_row_object(const std::filesystem::path& path, const std::vector<std::string>& keys,
                         const std::function<void(const nlohmann::ordered_json&)>& row);

}  // namespace prune::calibration
