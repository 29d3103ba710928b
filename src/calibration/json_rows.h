#pragma once

#include <prune/chat/chat_template.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "text_reader.h"

namespace prune::calibration {

struct TextSource;

enum class JsonForm {
  kLines,  ///< .jsonl: one row a line, or one array of rows
  kAny  ///< .json: also an object with an array of rows under "data" or "rows", or values over several lines
};

/// Calls `row` with the text of each JSON row.
/// @param text_key  an object with this key is a row; empty: `text` or `content`
/// @return number of blank lines between them
/// @throws Error(input) with file and line, also for what `row` throws.
int64_t for_each_json_row(TextReader& reader, JsonForm form, const std::string& text_key,
                          const std::function<void(std::string_view)>& row);

/// Reads the documents of JSON rows. A row is an object or a plain string.
/// @param field  as in TextFile
/// @param source  gets documents, field, counts and guesses
/// @throws Error(input) with file and line.
void read_json_rows(TextReader& reader, JsonForm form, const std::optional<std::string>& field,
                    const chat::TemplateChoice& templates, TextSource& source);

}  // namespace prune::calibration
