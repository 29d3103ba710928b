#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::calibration {

/// Text as it was found. One document (a .txt file) is sampled by windows over the whole; many
/// documents (.jsonl, .json.gz: one JSON object a line with "text") are sampled document by document.
struct TextSource {
  std::string name;  ///< as the report shows it
  std::vector<std::string> documents;
  bool whole_text = false;  ///< one joined text rather than separate documents
};

/// Reads .txt/.raw/.md (whole text), .jsonl/.json (lines) and either of them with .gz.
/// @throws Error(input) with file and line.
TextSource load_text(const std::filesystem::path& path);

}  // namespace prune::calibration
