#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Paths of the files that come along with the weights, relative to `folder`, sorted
/// (src/checkpoint/README.md, "Side files").
/// @param weight_files known ones, whatever their extension
/// @throws Error(input) if the folder cannot be read.
std::vector<std::string> side_files(const std::filesystem::path& folder,
                                    const std::vector<std::string>& weight_files);

}  // namespace prune::checkpoint
