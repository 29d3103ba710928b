#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// What lies beside the weights; paths are relative to the folder, sorted.
struct SideFiles {
  std::vector<std::string> copied;       ///< comes along with the weights
  std::vector<std::string> left_behind;  ///< other weights, and folders that hold some
};

/// Divides the files of a checkpoint folder (src/checkpoint/README.md, "Side files").
/// @param weight_files those of the checkpoint, whatever their extension; they are in neither list
/// @throws Error(input) if a folder cannot be read.
SideFiles find_side_files(const std::filesystem::path& folder,
                          const std::vector<std::string>& weight_files);

}  // namespace prune::checkpoint
