#pragma once

#include <string>
#include <string_view>

#include "normalizer.h"

namespace prune::tokenizer {

/// SentencePiece's table of text to replace ("precompiled_charsmap"), applied as the `spm_precompiled` crate
/// does (src/tokenizer/README.md, "Precompiled").
/// @param charsmap  a uint32 with the size of the trie in bytes, the trie as uint32, then the replacements,
///                  each ended by a zero byte; all little-endian.
/// @throws Error(input) if the table is malformed. So does the result, where a text meets a reference that
///         leaves the table.
Normalizer precompiled_normalizer(std::string_view charsmap);

/// Decodes standard base64 with padding. @throws Error(input) if it is invalid.
std::string decode_base64(std::string_view text);

}  // namespace prune::tokenizer
