#pragma once

#include <string>
#include <string_view>

namespace prune::tokenizer {

/// GPT-2's pattern of words; also ByteLevel's own in tokenizer.json.
extern const std::string_view kGpt2Pattern;

/// Appends `bytes` with each byte as the printable character that stands for it in byte-level
/// vocabularies: 33-126, 161-172 and 174-255 stand for themselves, the others, in order, are U+0100,
/// U+0101, ... Source: bytes_to_unicode of GPT-2's encoder.
void append_byte_characters(std::string& text, std::string_view bytes);

}  // namespace prune::tokenizer
