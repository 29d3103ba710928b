#pragma once

#include <prune/core/json_file.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support.h"

namespace prune::tokenizer {

inline json golden_file(const char* name) {
  return read_json(test::golden() / "calibration" / name);
}

inline std::vector<size_t> indices_of(const char* name, const char* list) {
  std::vector<size_t> indices(golden_file(name).at(list).size());
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = i;
  return indices;
}

/// "NAME.json" of the golden files becomes tokenizer.json; other files keep their names.
inline void lay(const std::string& name, const std::filesystem::path& folder) {
  const std::filesystem::path own = test::golden() / "calibration" / name;
  if (name == "tokenizer.model") {
    std::filesystem::copy(test::golden() / "calibration" / "sentencepiece.model", folder / name);
  } else if (name.ends_with(".model")) {
    std::filesystem::copy(own, folder / "tokenizer.model");
  } else if (std::filesystem::exists(own)) {
    std::filesystem::copy(own, folder / "tokenizer.json");
  } else {
    std::filesystem::copy(test::fixtures() / "opt-books-6m" / name, folder / name);
  }
}

/// Lays the files of a case of folders.json.
inline void lay_all(const json& one, const test::TemporaryFolder& folder) {
  for (const json& name : one["fixture_files"]) lay(name.get<std::string>(), folder.path());
  for (const auto& [name, content] : one["files"].items()) folder.write(name, content.dump());
}

}  // namespace prune::tokenizer
