#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text_reader.h"

namespace prune::calibration {

struct TextDescription;

enum class JsonForm {
  kLines,  ///< .jsonl: one row a line, or one array of rows
  kAny  ///< .json: also an object with an array of rows under "data" or "rows", or values over several lines
};

/// Reads the texts of JSON rows. A row is an object or a plain string.
/// @param field  as in TextFile
/// @param about  gets the field, counts and guesses
/// @throws Error(input) with file and line.
std::vector<std::string> read_json_rows(TextReader& reader, JsonForm form,
                                        const std::optional<std::string>& field,
                                        TextDescription& about);

}  // namespace prune::calibration
