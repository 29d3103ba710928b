#pragma once

#include <filesystem>
#include <memory>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// Reads a tokenizer.json (src/tokenizer/README.md, "tokenizer.json").
/// @throws Error(input) with the path, if the file is broken or names a component that is not supported.
TokenizerParts read_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config);

}  // namespace prune::tokenizer
