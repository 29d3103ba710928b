#pragma once

#include <filesystem>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// Reads a byte-level BPE from vocab.json and merges.txt; the tokenizer class decides on everything else
/// (src/tokenizer/README.md, "vocab.json and merges.txt"). Adds BOS and EOS only if tokenizer_config.json
/// asks for them.
/// @throws Error(input) with the file, and the line if one is wrong.
TokenizerParts read_vocab_merges_files(const std::filesystem::path& folder,
                                       const TokenizerConfig& config);

}  // namespace prune::tokenizer
