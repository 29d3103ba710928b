#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

/// Text as read from a file. Whole text (a .txt file) is sampled by windows over all of it; documents
/// (JSON lines, the rows of a Parquet file) are sampled one document at a time.
struct TextSource {
  std::string name;  ///< shown in the report
  std::vector<std::string> documents;
  bool whole_text = false;  ///< `documents` holds one text, not separate documents
};

/// A text file and the way its data set is read (src/calibration/README.md, "Text files").
struct TextFile {
  std::string name;  ///< shown in the report
  std::filesystem::path path;
  std::string field = "text";  ///< key of a JSON line or column of a Parquet file
  /// Joins the documents into one text; without a value they stay separate.
  std::optional<std::string> separator = {};
};

/// Reads .txt, .raw and .md (whole text, line ends as LF), .jsonl and .json (one object per line), all of
/// them also with .gz, and .parquet (one document per row). Invalid UTF-8 becomes U+FFFD.
/// @throws Error(input) with the path, and with the line or row if one is wrong.
TextSource load_text(const TextFile& file);

/// Reads a file that belongs to no known data set; its name is its path.
TextSource load_text(const std::filesystem::path& path);

}  // namespace prune::calibration
