#pragma once

#include <prune/chat/chat_template.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

struct TextSource;

/// Reads the documents of rows: a column of strings or bytes, also as a dictionary, of any width, also within
/// structs; or the columns of a conversation. Null is skipped.
/// @param field  as in TextFile
/// @param source  gets documents, field, counts and guesses
/// @throws Error(input) if the file is not Parquet, the column is missing (the message lists the columns
///         present) or not of text, a row is not UTF-8 (with its number), or the program was built without Arrow
///         (with the option that adds it).
void read_parquet_rows(const std::filesystem::path& path, const std::optional<std::string>& field,
                       const chat::TemplateChoice& templates, TextSource& source);

/// Calls `row` with some columns of each row as a JSON object. Members that are null are left out, except `content`: Parquet has
/// every member of a struct in every row.
/// @throws Error(input) as above, also for what `row` throws, with the number of the row.
void for_each_parquet_row(const std::filesystem::path& path, const std::vector<std::string>& keys,
                          const std::function<void(const nlohmann::ordered_json&)>& row);

}  // namespace prune::calibration
