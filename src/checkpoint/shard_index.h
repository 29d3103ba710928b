#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Which weight files a checkpoint folder has.
struct WeightFiles {
  std::vector<std::string> names;  ///< relative to the folder, sorted
  /// Tensor -> file, as the index says; empty for a single file.
  std::map<std::string, std::string> weight_map;
  std::string index;  ///< name of the index file; empty for a single file
  std::unique_ptr<TensorFile> (*open)(const std::filesystem::path&) = nullptr;
};

/// Looks for the four names a loader knows, in Transformers' order (FORMATS §5.5).
/// @throws Error(input): no such folder, no weights in it, a broken index, a shard that is missing.
WeightFiles find_weight_files(const std::filesystem::path& folder);

}  // namespace prune::checkpoint
