#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::calibration {

/// All values of a column of strings, in the order of the rows.
/// @throws Error(input): no Parquet file, no such column (with those that are there), a column of
///         another type, a null with its row; or a build without Arrow, with the option that adds it.
std::vector<std::string> read_parquet_column(const std::filesystem::path& path,
                                             const std::string& column);

}  // namespace prune::calibration
