#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// The weight files of a checkpoint folder.
struct WeightFiles {
  std::vector<std::string> names;  ///< relative to the folder, sorted
  /// Tensor -> file, from the index; empty for a single file.
  std::map<std::string, std::string> weight_map;
  std::string index;  ///< file name of the index; empty for a single file
  std::unique_ptr<TensorFile> (*open)(const std::filesystem::path&) = nullptr;
};

/// Finds the weight files in Transformers' order of preference, .prunepack last
/// (src/checkpoint/README.md, "Weight files and their index").
/// @throws Error(input): the folder does not exist or holds no weights, the index is malformed, or a shard is
///         missing.
WeightFiles find_weight_files(const std::filesystem::path& folder);

}  // namespace prune::checkpoint
