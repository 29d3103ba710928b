#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Sorted names of the files that the output needs besides weights: config, tokenizer, chat template, code
/// of remote-code models (src/checkpoint/README.md, "Side files").
/// @throws Error(input) if the folder cannot be read.
std::vector<std::string> side_files(const std::filesystem::path& folder);

}  // namespace prune::checkpoint
