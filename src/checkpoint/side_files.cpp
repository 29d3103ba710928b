#include "side_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

bool is_weights(const fs::path& file) {
  constexpr std::string_view kExtensions[] = {
      ".safetensors", ".bin", ".pt",     ".pth",       ".ckpt",     ".gguf",     ".ggml",
      ".h5",          ".npz", ".onnx",   ".onnx_data", ".tflite",   ".mlmodel",  ".ot",
      ".msgpack",     ".pkl", ".distcp", ".nemo",      ".pdparams", ".prunepack"};
  return std::ranges::find(kExtensions, file.extension().string()) != std::end(kExtensions);
}

bool is_cache(const std::string& folder) {
  constexpr std::string_view kNames[] = {".git", ".cache", ".huggingface", ".ipynb_checkpoints",
                                         "__pycache__"};
  return std::ranges::find(kNames, folder) != std::end(kNames);
}

/// Files at the top that describe the source, not the output: an index would list shards that the output
/// lacks, and `consolidated*` makes vLLM expect Mistral's format.
bool is_about_source(const std::string& name) {
  return name.ends_with(".index.json") || name.starts_with("consolidated") ||
         name.starts_with("README") || name == "prune_report.json" ||
         name == "prune_statistics.json" || name == "adapter_config.json";
}

/// Folders that sentence-transformers loads beside the model; their weights belong to the output.
std::set<std::string> modules_of(const fs::path& folder) {
  std::set<std::string> paths;
  const fs::path list = folder / "modules.json";
  if (!fs::exists(list)) return paths;
  const json modules = read_json(list);
  if (!modules.is_array()) return paths;
  for (const json& module : modules) {
    const auto path = value_or<std::string>(module, "path", "");
    if (!path.empty()) paths.insert(path);
  }
  return paths;
}

class Collector {
 public:
  Collector(fs::path root, const std::vector<std::string>& weight_files)
      : root_(std::move(root)),
        weight_files_(weight_files.begin(), weight_files.end()),
        modules_(modules_of(root_)) {}

  SideFiles collect() {
    visit(root_, "", /*depth=*/0);
    std::ranges::sort(files_.copied);
    std::ranges::sort(files_.left_behind);
    return std::move(files_);
  }

 private:
  void visit(const fs::path& folder, const std::string& prefix, int depth) {
    constexpr int kMaxDepth = 8;
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(folder, failure)) {
      const std::string name = entry.path().filename().string();
      const std::string path = prefix + name;
      std::error_code no_folder;
      if (!fs::is_directory(entry.path(), no_folder)) {
        add_file(prefix, name);
      } else if (is_cache(name)) {
        continue;
      } else if (entry.is_symlink() || depth == kMaxDepth || is_other_model(entry.path(), path)) {
        files_.left_behind.push_back(path + "/");
      } else {
        visit(entry.path(), path + "/", depth + 1);
      }
    }
    if (failure) {
      throw Error(ErrorKind::kInput, fmt::format("{}: cannot read the folder: {}", folder.string(),
                                                 failure.message()));
    }
  }

  void add_file(const std::string& prefix, const std::string& name) {
    const std::string path = prefix + name;
    if (weight_files_.contains(path) || (prefix.empty() && is_about_source(name))) return;
    const bool in_module =
        !prefix.empty() && modules_.contains(prefix.substr(0, prefix.size() - 1));
    (is_weights(name) && !in_module ? files_.left_behind : files_.copied).push_back(path);
  }

  /// A folder with weights of its own holds another model, an adapter, or the same model in another format.
  bool is_other_model(const fs::path& folder, const std::string& path) const {
    if (modules_.contains(path)) return false;
    std::error_code failure;
    return std::ranges::any_of(fs::directory_iterator(folder, failure), [&](const auto& entry) {
      const std::string name = entry.path().filename().string();
      return is_weights(name) && !weight_files_.contains(path + "/" + name);
    });
  }

  fs::path root_;
  std::set<std::string> weight_files_;
  std::set<std::string> modules_;
  SideFiles files_;
};

}  // namespace

SideFiles find_side_files(const fs::path& folder, const std::vector<std::string>& weight_files) {
  return Collector(folder, weight_files).collect();
}

}  // namespace prune::checkpoint
