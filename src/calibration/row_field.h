#pragma once

#include <prune/core/error.h>

#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

/// A key of a JSON row or a column of a Parquet file.
struct RowKey {
  std::string name;
  bool is_text = false;
};

/// The shapes of rows that chat data sets have.
enum class RowShape {
  kPlain,
  kMessages,      ///< a list of messages with roles, under `messages` or `conversations`
  kInstruction,   ///< alpaca: `instruction`, `input`, `output`
  kPromptAnswer,  ///< `prompt` and `completion`, `response` or `chosen`
};

RowShape shape_of(const std::vector<RowKey>& keys);

/// The key that holds the text of every row: the one asked for, else `text`, else `content`, which is a guess and
/// added to `guesses`. Rows of other shapes are refused here; a chat template would be applied to them instead.
/// @param keys  of the first row
/// @throws Error(input) as missing_field().
std::string choose_field(const std::optional<std::string>& asked, const std::vector<RowKey>& keys,
                         std::vector<std::string>& guesses);

/// "key 'text' is missing", what the row has instead, and what --text-field could name.
Error missing_field(const std::string& field, const std::vector<RowKey>& keys);

}  // namespace prune::calibration
