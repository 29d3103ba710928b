#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

/// Text as it was found. One document (a .txt file) is sampled by windows over the whole; many
/// documents (a JSON object a line, a Parquet file's rows) are sampled document by document.
struct TextSource {
  std::string name;  ///< as the report shows it
  std::vector<std::string> documents;
  bool whole_text = false;  ///< one joined text rather than separate documents
};

/// A file with text, and how a data set's rule reads it (FORMATS §7.1).
struct TextFile {
  std::string name;  ///< as the report shows it
  std::filesystem::path path;
  std::string field = "text";  ///< key in a JSON line, column of a Parquet file
  /// Put between the documents to make one text of them; none: they stay separate documents.
  std::optional<std::string> separator = {};
};

/// Reads .txt/.raw/.md (whole text, line ends as LF), .jsonl/.json (lines), each of them also with .gz, and
/// .parquet.
/// @throws Error(input) with file and line.
TextSource load_text(const TextFile& file);

/// The same of a file that no data set describes; its name is its path.
TextSource load_text(const std::filesystem::path& path);

}  // namespace prune::calibration
