#pragma once

#include <string>
#include <string_view>

namespace prune::tokenizer {

/// GPT-2's word pattern, which ByteLevel in tokenizer.json also uses.
extern const std::string_view kGpt2Pattern;
/// The word patterns of Qwen 2 and 3, and of Qwen 3.5, which keeps marks with their letters.
extern const std::string_view kQwen2Pattern;
extern const std::string_view kQwen35Pattern;

/// Appends, for each byte, the printable character that represents it in byte-level vocabularies. Bytes
/// 33-126, 161-172 and 174-255 map to the same code point; the other 68 map, in increasing sequence, to
/// U+0100, U+0101, ... Source: bytes_to_unicode of GPT-2's encoder.
void append_byte_characters(std::string& text, std::string_view bytes);

/// The reverse, for valid UTF-8. Returns false and appends nothing if a character represents no byte.
bool append_represented_bytes(std::string& bytes, std::string_view text);

}  // namespace prune::tokenizer
