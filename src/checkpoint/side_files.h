#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Names of the files beside the weights that the output needs too: config, tokenizer, templates,
/// code of remote models (FORMATS §5.5). Sorted.
/// @throws Error(input) when the folder cannot be read.
std::vector<std::string> side_files(const std::filesystem::path& folder);

}  // namespace prune::checkpoint
