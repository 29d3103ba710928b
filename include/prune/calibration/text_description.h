#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

/// How a text was read and what was taken from it, for the log and the report.
struct TextDescription {
  std::string name = {};  ///< as the user named it
  std::string kind = {};  ///< "text", "JSON rows" or "Parquet rows"
  std::string encoding = "UTF-8";
  std::string compression = {};     ///< "gzip" or "zstd"; empty: none
  std::string field = {};           ///< of rows that are not plain strings
  std::string chat_template = {};   ///< that renders the rows; "none": their contents are joined
  std::string chat_date = {};       ///< that the template is given; empty: it asks for none
  std::string content_change = {};  ///< of contents for this template; empty: none
  std::optional<std::string> joined_by =
      {};                          ///< put between rows; none: rows are sampled one by one
  int64_t rows = 0;                ///< read; 0 for one text
  int64_t blank_lines = 0;         ///< skipped
  int64_t null_rows = 0;           ///< skipped; also conversations without a message
  int64_t empty_rows = 0;          ///< kept: a join needs them
  int64_t rows_cut = 0;            ///< beyond the number that the data set's rule reads
  int64_t line_ends_replaced = 0;  ///< CR LF or CR, read as LF
  bool bos = false;                ///< encoded texts start with BOS
  std::optional<int64_t> tokens =
      {};  ///< of all of it, or of drawn conversations; none: not counted
  std::optional<int64_t> tokens_cut = {};  ///< of them, in no segment or sample
  int64_t short_rows = 0;                  ///< drawn, but too short for a calibration sample
  int64_t rows_drawn = 0;                  ///< conversations in the samples or segments
  int64_t rows_refused = 0;                ///< drawn and skipped: the template does not render them
  int64_t rows_split = 0;                  ///< drawn and cut at the end of a sample
  int64_t rows_repeated = 0;               ///< drawn again
  int64_t samples = 0;                     ///< taken from it
  std::vector<std::string> guesses = {};   ///< what was not said; errors under --strict
  bool operator==(const TextDescription&) const = default;
};

nlohmann::json to_json(const TextDescription& text);
/// Inverse of to_json(TextDescription); keys may be absent.
/// @throws Error(input) naming a key of the wrong type.
TextDescription text_description(const nlohmann::json& text);

nlohmann::json to_json(const std::vector<TextDescription>& texts);
/// The descriptions under an optional key of a report.
std::vector<TextDescription> text_descriptions(const nlohmann::json& object, const char* key);

}  // namespace prune::calibration
