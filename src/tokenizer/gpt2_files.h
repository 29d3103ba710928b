#pragma once

#include <filesystem>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// Reads GPT-2's byte-level BPE from vocab.json and merges.txt, the files of OPT's folders
/// (src/tokenizer/README.md, "OPT and GPT-2 files"). Adds BOS and EOS only if tokenizer_config.json asks
/// for them.
/// @throws Error(input) with the file, and the line if one is wrong.
TokenizerParts read_gpt2_files(const std::filesystem::path& folder, const TokenizerConfig& config);

}  // namespace prune::tokenizer
