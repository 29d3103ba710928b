#pragma once

#include <filesystem>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// GPT-2's byte-level BPE from vocab.json and merges.txt, as OPT's folders hold it (FORMATS §6.2).
/// BOS and EOS are added when tokenizer_config.json asks for them, and only then.
/// @throws Error(input) with the file and line of what is wrong.
Pipeline read_gpt2_files(const std::filesystem::path& folder, const TokenizerConfig& config);

}  // namespace prune::tokenizer
