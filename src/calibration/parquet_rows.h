#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

struct TextDescription;

/// The texts of a column: strings or bytes, also as a dictionary, of any width, also within structs. Null is
/// skipped.
/// @param field  as in TextFile
/// @param about  gets the field, counts and guesses
/// @throws Error(input) if the file is not Parquet, the column is missing (the message lists the columns
///         present) or not of text, a row is not UTF-8 (with its number), or the program was built without Arrow
///         (with the option that adds it).
std::vector<std::string> read_parquet_rows(const std::filesystem::path& path,
                                           const std::optional<std::string>& field,
                                           TextDescription& about);

}  // namespace prune::calibration
