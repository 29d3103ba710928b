#pragma once

#include <filesystem>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// LLaMA's BPE from a SentencePiece `tokenizer.model`, as Transformers' LlamaTokenizer reads it where
/// a folder has no tokenizer.json: the pieces are the vocabulary, the merges follow from them.
/// @throws Error(input) for a broken file and for models of another kind.
Pipeline read_llama_files(const std::filesystem::path& folder, const TokenizerConfig& config);

}  // namespace prune::tokenizer
