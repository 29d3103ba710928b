#include "model_names.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/nearest.h>
#include <prune/core/path_name.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <map>
#include <set>

#include "configs.h"
#include "hub.h"

namespace prune::cli {
namespace {

namespace fs = std::filesystem;

// Fetched first, as far as the repository has them: what a checkpoint needs beside its shards, and the
// weight files or indices that reveal the format (src/cli/README.md, "Files of a model").
const std::vector<std::string> kFilesBesideShards = {"config.json",
                                                     "generation_config.json",
                                                     "tokenizer.json",
                                                     "tokenizer_config.json",
                                                     "special_tokens_map.json",
                                                     "added_tokens.json",
                                                     "vocab.json",
                                                     "merges.txt",
                                                     "tokenizer.model",
                                                     "chat_template.jinja",
                                                     "model.safetensors",
                                                     "model.safetensors.index.json",
                                                     "pytorch_model.bin.index.json"};

bool has_tokenizer(const fs::path& snapshot) {
  return fs::exists(snapshot / "tokenizer.json") || fs::exists(snapshot / "tokenizer.model") ||
         (fs::exists(snapshot / "vocab.json") && fs::exists(snapshot / "merges.txt"));
}

// Weight files that the snapshot lacks. The first format found, as a single file or as an index, decides
// (src/cli/README.md, "Files of a model"). Without either it is pytorch_model.bin, which every repository
// older than safetensors has.
std::vector<std::string> missing_weights(const fs::path& snapshot) {
  for (const std::string file : {"model.safetensors", "pytorch_model.bin"}) {
    if (fs::exists(snapshot / file)) return {};
    const fs::path index = snapshot / (file + ".index.json");
    if (!fs::exists(index)) continue;
    std::set<std::string> missing;
    for (const auto& [tensor, shard] :
         require<std::map<std::string, std::string>>(read_json(index), "weight_map")) {
      if (!fs::exists(snapshot / shard)) missing.insert(shard);
    }
    return {missing.begin(), missing.end()};
  }
  return {"pytorch_model.bin"};
}

// A needed file that the snapshot lacks; nullopt if it has all.
std::optional<std::string> first_missing(const std::optional<fs::path>& snapshot,
                                         ModelParts needed) {
  if (!snapshot || !fs::exists(*snapshot / "config.json")) return "config.json";
  if (needed == ModelParts::kConfig) return std::nullopt;
  const std::vector<std::string> weights = missing_weights(*snapshot);
  return weights.empty() ? std::nullopt : std::optional(weights.front());
}

void fetch(const HubRepository& repository, ModelParts needed) {
  if (needed == ModelParts::kConfig) return download(repository, {"config.json"});
  download(repository, kFilesBesideShards);
  const std::optional<fs::path> snapshot = find_snapshot(repository);
  if (!snapshot) return;
  const std::vector<std::string> weights = missing_weights(*snapshot);
  if (weights.empty()) return;
  // By commit: the branch may have moved since the index was fetched.
  download({.id = repository.id, .revision = snapshot->filename().string()}, weights);
}

// Names of the model folders beside this one.
std::vector<std::string> model_folders_beside(const fs::path& folder) {
  const fs::path parent = folder.has_parent_path() ? folder.parent_path() : ".";
  std::vector<std::string> names;
  std::error_code failure;
  for (auto entry = fs::directory_iterator(parent, failure);
       !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    std::error_code unreadable;
    if (fs::exists(entry->path() / "config.json", unreadable)) {
      names.push_back(entry->path().filename().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

// The model folder in the same place whose name is nearest; empty if none is near.
std::string near_folder(const std::string& model) {
  fs::path folder = model;
  if (!folder.has_filename()) folder = folder.parent_path();  // a trailing slash
  const std::string name = nearest_word(folder.filename().string(), model_folders_beside(folder));
  if (name.empty()) return "";
  const std::string path = (folder.parent_path() / name).string();
  return printable(path, path.size());
}

fs::path find_in_cache(const HubRepository& repository, const std::string& asked, bool may_download,
                       ModelParts needed) {
  std::optional<fs::path> snapshot = find_snapshot(repository);
  const auto incomplete = [&] {
    return first_missing(snapshot, needed) ||
           (needed == ModelParts::kAll && !has_tokenizer(*snapshot));
  };
  if (may_download && incomplete()) {
    fetch(repository, needed);
    snapshot = find_snapshot(repository);
  }
  const std::optional<std::string> missing = first_missing(snapshot, needed);
  if (!missing) return *snapshot;
  // A repository of which the cache has a part was meant.
  const std::string folder = snapshot || repository.id != asked ? "" : near_folder(asked);
  throw Error(
      ErrorKind::kInput,
      fmt::format("model '{}' is neither a folder{} nor in the hub cache {} ({} is {}); fetch it "
                  "with --download, or with: {}",
                  asked, folder.empty() ? "" : " (did you mean '" + folder + "'?)",
                  hub_cache().string(), *missing,
                  snapshot && fs::is_symlink(*snapshot / *missing) ? "a link to a file that is gone"
                                                                   : "missing",
                  download_command(repository)));
}

std::map<std::string, std::string> known_names() {
  return json::parse(models_json()).get<std::map<std::string, std::string>>();
}

// The repository of a short name or hub id; nullopt for any other text.
std::optional<HubRepository> repository_of(const std::string& model) {
  const auto known = known_names();
  const auto found = known.find(model);
  return parse_hub_id(found == known.end() ? model : found->second);
}

}  // namespace

std::string hub_id_of(const std::string& model) {
  if (fs::is_directory(model)) return "";
  const auto repository = repository_of(model);
  return repository ? repository->id : "";
}

fs::path find_model(const std::string& model, bool may_download, ModelParts needed) {
  if (fs::is_directory(model)) return model;
  if (fs::exists(model)) {
    const std::string parent = fs::path(model).parent_path().string();
    throw Error(ErrorKind::kInput, fmt::format("--model {}: is a file; give its folder, {}", model,
                                               parent.empty() ? "." : parent));
  }
  if (const auto repository = repository_of(model)) {
    return find_in_cache(*repository, model, may_download, needed);
  }
  std::vector<std::string> names;
  for (const auto& [name, hub_id] : known_names()) names.push_back(name);
  const std::string folder = near_folder(model);
  const std::string nearest = folder.empty() ? nearest_word(model, names) : folder;
  throw Error(
      ErrorKind::kInput,
      fmt::format("model '{}' is not a folder, a hub id org/name[@revision] or a known name{}",
                  model,
                  nearest.empty() ? " (configs/models.json lists them, such as opt-66b)"
                                  : "; did you mean '" + nearest + "'?"));
}

std::string model_base_name(const std::string& model) {
  // "." and ".." have no name of their own.
  std::error_code failure;
  const fs::path folder = fs::canonical(model, failure);
  if (!failure && fs::is_directory(folder, failure)) return path_name(folder.string());
  return path_name(model.substr(0, model.find('@')));
}

}  // namespace prune::cli
