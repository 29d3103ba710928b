#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::calibration {

/// All values of a string column, row by row.
/// @throws Error(input) if the file is not Parquet, the column is missing (the message lists the columns
///         present) or not of strings, a row holds null (with its number), or the program was built
///         without Arrow (with the option that adds it).
std::vector<std::string> read_parquet_column(const std::filesystem::path& path,
                                             const std::string& column);

}  // namespace prune::calibration
