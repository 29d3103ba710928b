#include "pre_tokenizer.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "byte_level.h"
#include "character_classes.h"
#include "pattern.h"
#include "regex.h"
#include "split.h"

namespace prune::tokenizer {
namespace {

void emit(const Piece& whole, Span span, PieceSink sink) {
  if (span.begin == span.end) return;
  sink({whole.text.substr(span.begin, span.end - span.begin), whole.at_start && span.begin == 0});
}

using StretchSink = c10::function_ref<void(const Stretch&)>;

/// Passes on the matches of a pattern and the text between them, from left to right.
void for_each_stretch(const Regex& pattern, std::string_view text, StretchSink sink) {
  RegexMatches matches(pattern, text);
  size_t end = 0;
  while (const std::optional<Span> match = matches.next()) {
    if (match->begin != end) sink({{end, match->begin}, false});
    sink({*match, true});
    end = match->end;
  }
  if (end != text.size()) sink({{end, text.size()}, false});
}

/// Passes on the characters with a property, one by one, and the text between them.
template <class IsMatch>
void for_each_stretch(IsMatch is_match, std::string_view text, StretchSink sink) {
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = decode_utf8(text, at);
    const size_t end = at + c.size_bytes;
    if (is_match(c.code_point)) {
      if (begin < at) sink({{begin, at}, false});
      sink({{at, end}, true});
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) sink({{begin, text.size()}, false});
}

/// Cuts `piece` at the matches of a pattern or of a character property.
template <class Pattern>
void split(const Pattern& pattern, const Piece& piece, SplitBehavior behavior, bool invert,
           PieceSink sink) {
  if (behavior == SplitBehavior::kIsolated || behavior == SplitBehavior::kRemoved) {
    for_each_stretch(pattern, piece.text, [&](const Stretch& stretch) {
      const bool removed = behavior == SplitBehavior::kRemoved && stretch.is_match != invert;
      if (!removed) emit(piece, stretch.span, sink);
    });
    return;
  }
  std::vector<Stretch> stretches;  // the other behaviours merge neighbours
  for_each_stretch(pattern, piece.text, [&](const Stretch& stretch) {
    stretches.push_back({stretch.span, stretch.is_match != invert});
  });
  for (const Span& span : apply_behavior(stretches, behavior)) emit(piece, span, sink);
}

PreTokenizer make_split(const json& description) {
  auto pattern = std::make_shared<const Regex>(make_pattern(description));
  const SplitBehavior behavior = split_behavior(require<std::string>(description, "behavior"));
  const bool invert = value_or(description, "invert", false);
  return
      [=](const Piece& piece, PieceSink sink) { split(*pattern, piece, behavior, invert, sink); };
}

PreTokenizer make_digits(const json& description) {
  const SplitBehavior behavior = value_or(description, "individual_digits", false)
                                     ? SplitBehavior::kIsolated
                                     : SplitBehavior::kContiguous;
  return [behavior](const Piece& piece, PieceSink sink) {
    split(is_numeric, piece, behavior, false, sink);
  };
}

void split_at_spaces(const Piece& piece, PieceSink sink) {
  split(is_white_space, piece, SplitBehavior::kRemoved, false, sink);
}

/// Words, and runs of other characters, without the white space between them.
void split_words(const Piece& piece, PieceSink sink) {
  split_at_spaces(piece, [&](const Piece& run) {
    split(is_word_character, run, SplitBehavior::kContiguous, false, sink);
  });
}

void split_for_bert(const Piece& piece, PieceSink sink) {
  split_at_spaces(piece, [&](const Piece& run) {
    split(is_punctuation, run, SplitBehavior::kIsolated, false, sink);
  });
}

PreTokenizer make_punctuation(const json& description) {
  const SplitBehavior behavior =
      split_behavior(value_or<std::string>(description, "behavior", "Isolated"));
  return [behavior](const Piece& piece, PieceSink sink) {
    split(is_punctuation, piece, behavior, false, sink);
  };
}

PrependScheme prepend_scheme(const json& description) {
  const auto name = value_or<std::string>(description, "prepend_scheme", "always");
  // Files from before 2023 have this key in place of prepend_scheme.
  const bool add_prefix_space = value_or(description, "add_prefix_space", true);
  if (name == "never" || !add_prefix_space) return PrependScheme::kNever;
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  throw Error(ErrorKind::kInput,
              fmt::format("Metaspace: prepend_scheme '{}' is not supported", name));
}

std::string replace_spaces(std::string_view text, const std::string& replacement) {
  std::string replaced;
  replaced.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    if (c == ' ') {
      replaced += replacement;
    } else {
      replaced.push_back(c);
    }
  }
  return replaced;
}

PreTokenizer make_metaspace(const json& description) {
  const auto [replacement, scheme] = read_metaspace(description);
  const char32_t mark = decode_utf8(replacement, 0).code_point;
  const bool split_words = value_or(description, "split", true);
  return [=, replacement = replacement, scheme = scheme](const Piece& piece, PieceSink sink) {
    std::string text = replace_spaces(piece.text, replacement);
    const bool wanted =
        scheme == PrependScheme::kAlways || (scheme == PrependScheme::kFirst && piece.at_start);
    if (wanted && !text.starts_with(replacement)) text.insert(0, replacement);
    const Piece replaced{text, piece.at_start};
    if (!split_words) return sink(replaced);
    const auto is_mark = [mark](char32_t c) { return c == mark; };
    split(is_mark, replaced, SplitBehavior::kMergedWithNext, false, sink);
  };
}

void run_steps(const std::vector<PreTokenizer>& steps, size_t index, const Piece& piece,
               PieceSink sink) {
  if (piece.text.empty()) return;
  if (index == steps.size()) return sink(piece);
  steps[index](piece, [&](const Piece& next) { run_steps(steps, index + 1, next, sink); });
}

PreTokenizer make_step(const json& description) {
  const auto type = require<std::string>(description, "type");
  if (type == "Split") return make_split(description);
  if (type == "Digits") return make_digits(description);
  if (type == "Metaspace") return make_metaspace(description);
  if (type == "WhitespaceSplit") return split_at_spaces;
  if (type == "Whitespace") return split_words;
  if (type == "Punctuation") return make_punctuation(description);
  if (type == "BertPreTokenizer") return split_for_bert;
  if (type == "ByteLevel") {
    return byte_level_pre_tokenizer(value_or(description, "add_prefix_space", true),
                                    value_or(description, "use_regex", true));
  }
  throw Error(ErrorKind::kInput, fmt::format("pre_tokenizer '{}' is not supported", type));
}

struct Steps {
  std::vector<PreTokenizer> steps;
  bool byte_level = false;
};

/// Flattens nested sequences.
void add_steps(const json& description, Steps& steps) {
  constexpr size_t kMaxSteps = 64;  // real tokenizers have about five
  if (description.is_null()) return;
  const auto type = require<std::string>(description, "type");
  if (type == "Sequence") {
    for (const json& step : require<json>(description, "pretokenizers")) add_steps(step, steps);
    return;
  }
  // Each ByteLevel doubles the size of text that is not ASCII; the next one doubles the result again.
  if (type == "ByteLevel" && std::exchange(steps.byte_level, true)) {
    throw Error(ErrorKind::kInput, "pre_tokenizer: ByteLevel twice is not supported");
  }
  if (steps.steps.size() == kMaxSteps) {
    throw Error(ErrorKind::kInput, fmt::format("pre_tokenizer: more than {} steps", kMaxSteps));
  }
  steps.steps.push_back(make_step(description));
}

}  // namespace

PreTokenizer byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex) {
  auto pattern = std::make_shared<const Regex>(kGpt2Pattern);
  return [=](const Piece& piece, PieceSink sink) {
    const auto map = [&](const Piece& word) {
      std::string mapped;
      append_byte_characters(mapped, word.text);
      sink({mapped, word.at_start});
    };
    std::string spaced;
    Piece source = piece;
    if (add_prefix_space && !piece.text.starts_with(' ')) {
      spaced = " ";
      spaced += piece.text;
      source.text = spaced;
    }
    if (!use_regex) return map(source);
    split(*pattern, source, SplitBehavior::kIsolated, false, map);
  };
}

MetaspaceRule read_metaspace(const json& description) {
  const auto replacement = require<std::string>(description, "replacement");
  if (replacement.empty() || utf8_length(replacement[0]) != replacement.size()) {
    throw Error(ErrorKind::kInput,
                fmt::format("Metaspace: replacement '{}' is not one character", replacement));
  }
  return {replacement, prepend_scheme(description)};
}

PreTokenizer make_pre_tokenizer(const json& description) {
  Steps steps;
  add_steps(description, steps);
  return [steps = std::move(steps.steps)](const Piece& piece, PieceSink sink) {
    run_steps(steps, 0, piece, sink);
  };
}

}  // namespace prune::tokenizer
