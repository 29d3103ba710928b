#pragma once

#include <filesystem>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// Reads LLaMA's BPE from a SentencePiece `tokenizer.model`, as Transformers' LlamaTokenizer does for a
/// folder without tokenizer.json: the pieces are the vocabulary and determine the merges
/// (src/tokenizer/README.md, "SentencePiece models").
/// @throws Error(input) if the file is broken, the model type is not BPE, or it normalises by a table.
TokenizerParts read_llama_files(const std::filesystem::path& folder, const TokenizerConfig& config);

}  // namespace prune::tokenizer
