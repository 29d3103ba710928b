#pragma once

#include <filesystem>
#include <memory>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// The pipeline that a tokenizer.json describes (FORMATS §6.4).
/// @throws Error(input) with the file and what is wrong or unknown in it.
Pipeline read_tokenizer_json(const std::filesystem::path& path, const TokenizerConfig& config);

}  // namespace prune::tokenizer
