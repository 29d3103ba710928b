#include "normalizer.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>
#include <utf8proc.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "byte_level.h"
#include "character_classes.h"
#include "pattern.h"
#include "precompiled.h"
#include "regex.h"

namespace prune::tokenizer {
namespace {

/// Below U+0300, no character composes with its neighbour and every character is its own NFC form.
bool is_trivially_nfc(std::string_view text) {
  constexpr unsigned char kLeadOfU0300 = 0xCC;
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= kLeadOfU0300; });
}

/// Characters that the `tokenizers` package treats as unassigned because its tables are Unicode 9: it
/// does not decompose, compose or reorder them. Printed by scripts/golden/newer_than_reference.py. The
/// ranges also cover characters in between that are inert in both versions.
constexpr std::pair<char32_t, char32_t> kNewerRanges[] = {
    {0x558, 0x558},     {0x58B, 0x58C},     {0x5C8, 0x5C9},     {0x7FD, 0x7FD},
    {0x897, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},     {0xD3B, 0xD3C},
    {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1AF0},   {0x1DF6, 0x1DFA},
    {0x209D, 0x209F},   {0x32FF, 0x32FF},   {0xA7F1, 0xA7F4},   {0xA82C, 0xA82C},
    {0xAB69, 0xAB69},   {0x105C9, 0x107BF}, {0x10D24, 0x10F85}, {0x11070, 0x11070},
    {0x1133B, 0x1133B}, {0x11382, 0x113D0}, {0x1145E, 0x1145E}, {0x11839, 0x11A99},
    {0x11D42, 0x1612F}, {0x16D63, 0x1B126}, {0x1CCD6, 0x1D128}, {0x1D250, 0x1D281},
    {0x1D6A6, 0x1D6A6}, {0x1DF95, 0x1DFFF}, {0x1E030, 0x1E6F5}, {0x1F16C, 0x1F16C},
    {0x1FBF0, 0x1FBF9}};

/// True for characters to hide from utf8proc: they are inert in every normal form of the reference.
bool is_inert(char32_t c) {
  // utf8proc 2.8 wrongly joins it to the preceding syllable.
  constexpr char32_t kBeforeFirstTrailingJamo = 0x11A7;
  if (c == kBeforeFirstTrailingJamo) return true;
  if (c < kNewerRanges[0].first) return false;
  const auto* range =
      std::ranges::lower_bound(kNewerRanges, c, {}, &std::pair<char32_t, char32_t>::second);
  return range != std::end(kNewerRanges) && c >= range->first;
}

std::string unicode_normalized(std::string_view text, utf8proc_option_t form) {
  utf8proc_uint8_t* result = nullptr;
  const auto options = static_cast<utf8proc_option_t>(form | UTF8PROC_STABLE);
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result, options);
  if (size < 0) {
    throw Error(ErrorKind::kInput, fmt::format("Unicode normalization of {} bytes: {}", text.size(),
                                               utf8proc_errmsg(size)));
  }
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  return {reinterpret_cast<const char*>(result), static_cast<size_t>(size)};
}

void unicode_normalize_(std::string& text, utf8proc_option_t form) {
  std::string normalized;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = decode_utf8(text, at);
    const size_t end = at + c.size_bytes;
    if (is_inert(c.code_point)) {
      normalized += unicode_normalized(std::string_view(text).substr(begin, at - begin), form);
      normalized.append(text, at, c.size_bytes);
      begin = end;
    }
    at = end;
  }
  normalized += unicode_normalized(std::string_view(text).substr(begin), form);
  text = std::move(normalized);
}

Normalizer nfc() {
  return [](std::string& text) {
    if (!is_trivially_nfc(text)) unicode_normalize_(text, UTF8PROC_COMPOSE);
  };
}

Normalizer unicode_form(int form) {
  return
      [form](std::string& text) { unicode_normalize_(text, static_cast<utf8proc_option_t>(form)); };
}

Normalizer prepend(const json& description) {
  return [prefix = require<std::string>(description, "prepend")](std::string& text) {
    text.insert(0, prefix);
  };
}

/// Rewrites a text character by character: write(result, code point) appends what takes the character's place.
template <class Write>
void for_each_character_(std::string& text, Write&& write) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Decoded c = decode_utf8(text, at);
    at += c.size_bytes;
    write(result, c.code_point);
  }
  text = std::move(result);
}

void lowercase_(std::string& text) {
  for_each_character_(text, [](std::string& result, char32_t c) {
    constexpr char32_t kCapitalIWithDot = 0x130;  // the only lower case of two characters
    if (c == kCapitalIWithDot) {
      result += "i\xCC\x87";
    } else {
      append_utf8(result,
                  static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  });
}

/// Removes the characters of a class.
template <class IsRemoved>
void remove_(std::string& text, IsRemoved&& is_removed) {
  for_each_character_(text, [&](std::string& result, char32_t c) {
    if (!is_removed(c)) append_utf8(result, c);
  });
}

/// The cleaning that SentencePiece calls "nmt": control characters vanish, other odd ones become spaces.
void nmt_(std::string& text) {
  for_each_character_(text, [](std::string& result, char32_t c) {
    const bool is_removed = (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) ||
                            c == 0x7F || c == 0x8F || c == 0x9F;
    if (is_removed) return;
    constexpr char32_t kSpaces[] = {0x9,    0xA,    0xC,    0xD,    0x1680,
                                    0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD};
    const bool is_space =
        (c >= 0x200B && c <= 0x200F) || std::ranges::find(kSpaces, c) != std::end(kSpaces);
    append_utf8(result, is_space ? U' ' : c);
  });
}

bool is_chinese(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kRanges[] = {
      {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
      {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return std::ranges::any_of(
      kRanges, [c](const auto& range) { return c >= range.first && c <= range.second; });
}

void clean_(std::string& text) {
  for_each_character_(text, [](std::string& result, char32_t c) {
    constexpr char32_t kReplacementCharacter = 0xFFFD;
    if (c == 0 || c == kReplacementCharacter || is_control(c)) return;
    append_utf8(result, is_white_space(c) ? U' ' : c);
  });
}

void space_chinese_(std::string& text) {
  for_each_character_(text, [](std::string& result, char32_t c) {
    if (is_chinese(c)) result.push_back(' ');
    append_utf8(result, c);
    if (is_chinese(c)) result.push_back(' ');
  });
}

Normalizer bert(const json& description) {
  const bool clean = value_or(description, "clean_text", true);
  const bool chinese = value_or(description, "handle_chinese_chars", true);
  const bool lowercase = value_or(description, "lowercase", true);
  const bool accents = value_or(description, "strip_accents", lowercase);
  return [=](std::string& text) {
    if (clean) clean_(text);
    if (chinese) space_chinese_(text);
    if (accents) {
      unicode_normalize_(text, UTF8PROC_DECOMPOSE);
      remove_(text, is_nonspacing_mark);
    }
    if (lowercase) lowercase_(text);
  };
}

Normalizer precompiled(const json& description) {
  const auto charsmap = require<std::string>(description, "precompiled_charsmap");
  return precompiled_normalizer(decode_base64(charsmap));
}

Normalizer strip(const json& description) {
  const bool left = value_or(description, "strip_left", true);
  const bool right = value_or(description, "strip_right", true);
  return [left, right](std::string& text) {
    const auto is_space = [&](size_t at) {
      return is_white_space(decode_utf8(text, at).code_point);
    };
    while (right && !text.empty() && is_space(last_character(text))) {
      text.resize(last_character(text));
    }
    size_t begin = 0;
    while (left && begin < text.size() && is_space(begin)) begin += utf8_length(text[begin]);
    text.erase(0, begin);
  };
}

Normalizer make_step(const json& description) {
  const auto type = require<std::string>(description, "type");
  if (type == "NFC") return nfc();
  if (type == "NFD") return unicode_form(UTF8PROC_DECOMPOSE);
  if (type == "NFKC") return unicode_form(UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  if (type == "NFKD") return unicode_form(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  if (type == "Prepend") return prepend(description);
  if (type == "Replace") return replace_normalizer(description);
  if (type == "Lowercase") return lowercase_;
  if (type == "Strip") return strip(description);
  if (type == "StripAccents") return [](std::string& text) { remove_(text, is_mark); };
  if (type == "Nmt") return nmt_;
  if (type == "Precompiled") return precompiled(description);
  if (type == "BertNormalizer") return bert(description);
  if (type == "ByteLevel") {
    return [](std::string& text) {
      std::string mapped;
      append_byte_characters(mapped, text);
      text = std::move(mapped);
    };
  }
  throw Error(ErrorKind::kInput, fmt::format("normalizer '{}' is not supported", type));
}

/// Flattens nested sequences.
void add_steps(const json& description, std::vector<Normalizer>& steps) {
  constexpr size_t kMaxSteps = 64;  // real tokenizers have about five
  if (description.is_null()) return;
  if (require<std::string>(description, "type") == "Sequence") {
    for (const json& step : require<json>(description, "normalizers")) add_steps(step, steps);
    return;
  }
  if (steps.size() == kMaxSteps) {
    throw Error(ErrorKind::kInput, fmt::format("normalizer: more than {} steps", kMaxSteps));
  }
  steps.push_back(make_step(description));
}

}  // namespace

void check_growth(size_t before, size_t now, const char* part) {
  constexpr size_t kMaxFold = 16;
  constexpr size_t kAlwaysAllowed = size_t{1} << 16;
  if (now <= kMaxFold * before + kAlwaysAllowed) return;
  throw Error(ErrorKind::kInput, fmt::format("the tokenizer's {} expands a text of {} bytes to {}",
                                             part, before, now));
}

Normalizer replace_normalizer(const json& description, const char* part) {
  // Shared because a std::function must be copyable, and a Regex is not.
  auto pattern = std::make_shared<const Regex>(make_pattern(description));
  return
      [pattern, part, content = require<std::string>(description, "content")](std::string& text) {
        RegexMatches matches(*pattern, text);
        std::string replaced;
        size_t copied = 0;
        while (const std::optional<Span> match = matches.next()) {
          replaced.append(text, copied, match->begin - copied);
          replaced += content;
          copied = match->end;
          check_growth(text.size(), replaced.size(), part);
        }
        if (copied == 0 && replaced.empty()) return;
        replaced.append(text, copied);
        text = std::move(replaced);
      };
}

Normalizer make_normalizer(const json& description) {
  std::vector<Normalizer> steps;
  add_steps(description, steps);
  if (steps.empty()) return nullptr;
  return [steps = std::move(steps)](std::string& text) {
    const size_t before = text.size();
    for (const Normalizer& step : steps) {
      if (text.empty()) return;
      step(text);
      check_growth(before, text.size());
    }
  };
}

}  // namespace prune::tokenizer
