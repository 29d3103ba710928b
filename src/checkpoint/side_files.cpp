#include "side_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <algorithm>
#include <string_view>

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

bool is_side_file(std::string_view name) {
  // An index would list shards that the output lacks, and `consolidated*` makes vLLM expect Mistral's
  // format. Reports, statistics and READMEs describe the source, not the output.
  if (name.ends_with(".index.json")) return false;
  if (name == "prune_report.json" || name == "prune_statistics.json") return false;
  if (name.starts_with("consolidated") || name.starts_with("README")) return false;
  constexpr std::string_view kEndings[] = {".json", ".jinja", ".txt", ".py", ".model"};
  return std::ranges::any_of(kEndings,
                             [name](std::string_view ending) { return name.ends_with(ending); });
}

}  // namespace

std::vector<std::string> side_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    std::error_code no_folder;
    if (is_side_file(name) && !fs::is_directory(entry.path(), no_folder)) names.push_back(name);
  }
  if (failure) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: cannot read the folder: {}", folder.string(), failure.message()));
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace prune::checkpoint
