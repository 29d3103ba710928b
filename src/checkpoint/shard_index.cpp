#include "shard_index.h"

#include <fmt/format.h>
#include <prune/checkpoint/packed_checkpoint.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <set>

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

Error input_error(const std::string& message) { return {ErrorKind::kInput, message}; }

struct Candidate {
  const char* name;
  bool is_index;
  std::unique_ptr<TensorFile> (*open)(const fs::path&);
};
constexpr Candidate kCandidates[] = {
    {"model.safetensors", false, &open_safetensors},
    {"model.safetensors.index.json", true, &open_safetensors},
    {"pytorch_model.bin", false, &open_torch_bin},
    {"pytorch_model.bin.index.json", true, &open_torch_bin},
    {"model.prunepack", false, &open_prunepack},
    {"model.prunepack.index.json", true, &open_prunepack},
};

/// The index may come from anyone; a shard's name must not lead out of the folder.
void check_shard_name(const std::string& name) {
  const fs::path path(name);
  const bool climbs = std::ranges::find(path, "..") != path.end();
  if (name.empty() || path.is_absolute() || climbs || name.find('\0') != std::string::npos) {
    throw input_error(fmt::format("shard '{}' is not a file inside the folder", printable(name)));
  }
}

std::map<std::string, std::string> read_weight_map(const fs::path& path) {
  const json index = parse_json(read_file(path), /*unique_names=*/true);
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object()) {
    throw input_error("has no object 'weight_map'");
  }
  std::map<std::string, std::string> result;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string()) {
      throw input_error(fmt::format("weight_map: file of '{}' is not a string", printable(tensor)));
    }
    check_shard_name(file.get_ref<const std::string&>());
    result.emplace(tensor, file.get<std::string>());
  }
  if (result.empty()) throw input_error("weight_map is empty");
  return result;
}

void check_all_there(const fs::path& folder, const std::vector<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    std::error_code failure;
    if (!fs::exists(folder / name, failure)) missing.push_back(name);
  }
  if (missing.empty()) return;
  throw input_error(fmt::format("shard '{}' is missing ({} of {} shards missing)",
                                printable(missing.front()), missing.size(), names.size()));
}

WeightFiles read_index(const fs::path& folder, const Candidate& candidate) {
  WeightFiles files;
  files.index = candidate.name;
  files.open = candidate.open;
  try {
    files.weight_map = read_weight_map(folder / candidate.name);
    std::set<std::string> names;
    for (const auto& [tensor, file] : files.weight_map) names.insert(file);
    files.names.assign(names.begin(), names.end());
    check_all_there(folder, files.names);
  } catch (Error& e) {
    // Messages of read_file() already begin with the path.
    const std::string path = (folder / candidate.name).string();
    throw std::string_view(e.what()).starts_with(path) ? e : e.in(path);
  }
  return files;
}

/// Hint for the error message: a weight file that we do not read under its present name.
std::string other_weights(const fs::path& folder) {
  constexpr std::string_view kExtensions[] = {".safetensors", ".bin", ".pt",     ".pth",
                                              ".gguf",        ".h5",  ".msgpack"};
  std::set<std::string> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    const std::string extension = entry.path().extension().string();
    if (std::ranges::find(kExtensions, extension) != std::end(kExtensions)) {
      found.insert(entry.path().filename().string());
    }
  }
  if (found.empty()) return "";
  return fmt::format("; '{}' is there, but weights with that name are not read",
                     printable(*found.begin()));
}

}  // namespace

WeightFiles find_weight_files(const fs::path& folder) {
  std::error_code failure;
  if (!fs::is_directory(folder, failure)) {
    throw input_error(
        fmt::format("{}: {}", folder.string(),
                    fs::exists(folder, failure) ? "is not a folder" : "no such folder"));
  }
  for (const Candidate& candidate : kCandidates) {
    // A dangling link counts as present: the error from opening it says more than "no weights".
    if (!fs::exists(fs::symlink_status(folder / candidate.name, failure))) continue;
    if (candidate.is_index) return read_index(folder, candidate);
    WeightFiles files;
    files.names = {candidate.name};
    files.open = candidate.open;
    return files;
  }
  throw input_error(fmt::format("{}: holds none of {}, {}, {}, {}{}", folder.string(),
                                kCandidates[0].name, kCandidates[1].name, kCandidates[2].name,
                                kCandidates[3].name, other_weights(folder)));
}

}  // namespace prune::checkpoint
