#include "precompiled.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>
#include <utf8proc.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace prune::tokenizer {
namespace {

[[noreturn]] void fail(std::string_view reason) {
  throw Error(ErrorKind::kInput, fmt::format("Precompiled: precompiled_charsmap {}", reason));
}

/// A unit of Darts' double array (darts_clone).
struct Unit {
  uint32_t bits;

  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  uint32_t value() const { return bits & 0x7FFFFFFFU; }
  uint32_t label() const { return bits & 0x800000FFU; }
  uint32_t offset() const { return (bits >> 10) << ((bits & 0x200U) >> 6); }
};

class Table {
 public:
  explicit Table(std::string_view charsmap) {
    uint32_t trie_bytes = 0;
    if (charsmap.size() < sizeof(trie_bytes)) fail("is too short");
    std::memcpy(&trie_bytes, charsmap.data(), sizeof(trie_bytes));
    charsmap.remove_prefix(sizeof(trie_bytes));
    const size_t used = trie_bytes / sizeof(Unit) * sizeof(Unit);
    if (used == 0 || used > charsmap.size()) {
      fail(fmt::format("of {} bytes has a trie of {}", charsmap.size(), trie_bytes));
    }
    units_.resize(used / sizeof(Unit));
    std::memcpy(units_.data(), charsmap.data(), used);
    replacements_ = charsmap.substr(used);
    std::string repaired;
    if (valid_utf8(replacements_, repaired).data() != replacements_.data()) fail("is not UTF-8");
  }

  /// The replacement of the shortest entry that `text` starts with.
  std::optional<std::string_view> find(std::string_view text) const {
    size_t node = 0;
    node ^= unit(node).offset();
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte == 0) break;
      node ^= byte;
      const Unit next = unit(node);
      if (next.label() != byte) break;
      node ^= next.offset();
      if (next.has_leaf()) return replacement(unit(node).value());
    }
    return std::nullopt;
  }

 private:
  Unit unit(size_t index) const {
    if (index >= units_.size()) fail(fmt::format("names unit {} of {}", index, units_.size()));
    return units_[index];
  }

  std::string_view replacement(size_t begin) const {
    const auto starts_character = [&] {
      return (static_cast<unsigned char>(replacements_[begin]) & 0xC0) != 0x80;
    };
    if (begin > replacements_.size() || (begin < replacements_.size() && !starts_character())) {
      fail(fmt::format("names a replacement at byte {} of {}", begin, replacements_.size()));
    }
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return std::string_view(replacements_).substr(begin, end - begin);
  }

  std::vector<Unit> units_;
  std::string replacements_;
};

/// End of the grapheme cluster that starts at `begin`.
size_t grapheme_end(std::string_view text, size_t begin) {
  Decoded last = decode_utf8(text, begin);
  size_t end = begin + last.size_bytes;
  utf8proc_int32_t state = 0;
  while (end < text.size()) {
    const Decoded next = decode_utf8(text, end);
    const bool both_ascii = last.code_point < 0x80 && next.code_point < 0x80;
    const bool breaks = both_ascii ? last.code_point != '\r' || next.code_point != '\n'
                                   : utf8proc_grapheme_break_stateful(
                                         static_cast<utf8proc_int32_t>(last.code_point),
                                         static_cast<utf8proc_int32_t>(next.code_point), &state);
    if (breaks) break;
    end += next.size_bytes;
    last = next;
  }
  return end;
}

std::string rewritten(const Table& table, std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t begin = 0; begin < text.size();) {
    const std::string_view grapheme = text.substr(begin, grapheme_end(text, begin) - begin);
    begin += grapheme.size();
    check_growth(text.size(), result.size());
    // As in the reference, an entry for the start of a short cluster replaces all of it.
    constexpr size_t kShortBytes = 6;
    if (grapheme.size() < kShortBytes) {
      if (const auto replacement = table.find(grapheme)) {
        result += *replacement;
        continue;
      }
    }
    for (size_t at = 0; at < grapheme.size();) {
      const std::string_view character = grapheme.substr(at, utf8_length(grapheme[at]));
      result += table.find(character).value_or(character);
      at += character.size();
      check_growth(text.size(), result.size());
    }
  }
  return result;
}

}  // namespace

Normalizer precompiled_normalizer(std::string_view charsmap) {
  auto table = std::make_shared<const Table>(charsmap);
  return [table](std::string& text) { text = rewritten(*table, text); };
}

std::string decode_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto invalid = [&](size_t at) {
    return Error(ErrorKind::kInput,
                 fmt::format("base64 of {} characters is invalid at {}", text.size(), at));
  };
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  if (text.size() % 4 != 0) throw invalid(text.size());
  std::string bytes;
  uint32_t bits = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const size_t digit = at < text.size() - padding ? kDigits.find(text[at]) : 0;
    if (digit == std::string_view::npos) throw invalid(at);
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (at % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<char>(bits >> shift & 0xFF));
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace prune::tokenizer
