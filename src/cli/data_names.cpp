#include "data_names.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/nearest.h>

#include "configs.h"
#include "hub.h"

namespace prune::cli {
namespace {

namespace fs = std::filesystem;

fs::path find_in_cache(const HubRepository& repository, const std::string& file,
                       const std::string& asked, bool may_download) {
  const auto cached = [&]() -> std::optional<fs::path> {
    const auto snapshot = find_snapshot(repository);
    return snapshot && fs::exists(*snapshot / file) ? std::optional(*snapshot / file)
                                                    : std::nullopt;
  };
  if (const auto path = cached()) return *path;
  if (may_download) {
    download(repository, {file});
    if (const auto path = cached()) return *path;
  }
  throw Error(ErrorKind::kInput,
              fmt::format("data set '{}' is not in the hub cache {}; fetch it with --download, or "
                          "with: {}",
                          asked, hub_cache().string(), download_command(repository, {file})));
}

calibration::TextFile find_named(const std::string& name, const json& entry, DataUse use,
                                 bool may_download) {
  const json& part = entry.at(use == DataUse::kCalibration ? "calibration" : "evaluation");
  HubRepository repository = parse_hub_id(entry.at("hub").get<std::string>()).value();
  repository.dataset = true;
  calibration::TextFile text{
      .name = name,
      .path = find_in_cache(repository, part.at("file").get<std::string>(), name, may_download),
      .field = entry.at("field").get<std::string>()};
  if (part.contains("separator")) text.separator = part.at("separator").get<std::string>();
  text.rows = value_or<int64_t>(part, "rows", 0);
  text.segments = value_or<int64_t>(part, "segments", 0);
  return text;
}

}  // namespace

bool is_data_set(const std::string& name) { return json::parse(datasets_json()).contains(name); }

std::filesystem::path path_of_text(const std::string& name) {
  return name == "-" ? calibration::kStandardInput : name;
}

calibration::TextFile find_data(const std::string& data, DataUse use, bool may_download) {
  const json known = json::parse(datasets_json());
  if (const auto found = known.find(data); found != known.end()) {
    return find_named(data, *found, use, may_download);
  }
  if (data == "-") return {.name = "standard input", .path = path_of_text(data)};
  const fs::path path = data;
  // No data set's name has an extension or a folder, so this is a file; reading it gives the better error.
  if (fs::exists(path) || path.has_extension() || path.has_parent_path()) {
    return {.name = data, .path = path};
  }
  std::vector<std::string> names;
  for (const auto& [name, entry] : known.items()) names.push_back(name);
  const std::string nearest = nearest_word(data, names);
  throw Error(ErrorKind::kInput,
              fmt::format("'{}' is neither a file nor a known data set{}", data,
                          nearest.empty() ? fmt::format("; known ones: {}", fmt::join(names, ", "))
                                          : "; did you mean '" + nearest + "'?"));
}

}  // namespace prune::cli
