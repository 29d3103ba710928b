#include "byte_level.h"

#include <prune/core/utf8.h>

#include <array>

namespace prune::tokenizer {
namespace {

struct ByteCharacter {
  char utf8[2];
  bool two_bytes;
};

std::array<ByteCharacter, 256> make_table() {
  std::array<ByteCharacter, 256> table{};
  char32_t next_stand_in = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    std::string character;
    append_utf8(character, printable ? byte : next_stand_in++);
    table[byte] = {{character[0], character.size() > 1 ? character[1] : '\0'},
                   character.size() > 1};
  }
  return table;
}

constexpr size_t kCharacters = 0x144;  // one more than the last stand-in

/// The byte of each code point; -1 if it represents none.
std::array<int16_t, kCharacters> make_inverse() {
  std::array<int16_t, kCharacters> inverse{};
  inverse.fill(-1);
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_byte_characters(character, std::string(1, static_cast<char>(byte)));
    inverse[decode_utf8(character, 0).code_point] = static_cast<int16_t>(byte);
  }
  return inverse;
}

}  // namespace

const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

const std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

void append_byte_characters(std::string& text, std::string_view bytes) {
  static const std::array<ByteCharacter, 256> kTable = make_table();
  for (const char byte : bytes) {
    const ByteCharacter& character = kTable[static_cast<unsigned char>(byte)];
    text.push_back(character.utf8[0]);
    if (character.two_bytes) text.push_back(character.utf8[1]);
  }
}

bool append_represented_bytes(std::string& bytes, std::string_view text) {
  static const std::array<int16_t, kCharacters> kInverse = make_inverse();
  const size_t before = bytes.size();
  for (size_t at = 0; at < text.size();) {
    const Decoded c = decode_utf8(text, at);
    at += c.size_bytes;
    if (c.code_point >= kCharacters || kInverse[c.code_point] < 0) {
      bytes.resize(before);
      return false;
    }
    bytes.push_back(static_cast<char>(kInverse[c.code_point]));
  }
  return true;
}

}  // namespace prune::tokenizer
