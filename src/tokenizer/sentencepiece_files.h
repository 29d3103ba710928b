#pragma once

#include <filesystem>

#include "composed_tokenizer.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {

/// Reads a SentencePiece `tokenizer.model` as Transformers does for a folder without tokenizer.json: the
/// pieces are the vocabulary and determine the merges (src/tokenizer/README.md, "SentencePiece models").
/// @throws Error(input) if the file is broken, or the class or model type is not supported.
TokenizerParts read_sentencepiece_files(const std::filesystem::path& folder,
                                        const TokenizerConfig& config);

}  // namespace prune::tokenizer
