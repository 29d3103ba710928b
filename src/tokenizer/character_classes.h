#pragma once

namespace prune::tokenizer {

// Character classes with the members that they have in the `tokenizers` package, whose tables are partly
// older than utf8proc's.

/// \w of Rust's regular expressions.
bool is_word_character(char32_t c);
/// ASCII punctuation, or Unicode category P.
bool is_punctuation(char32_t c);
/// Unicode category M.
bool is_mark(char32_t c);
/// Unicode category Mn.
bool is_nonspacing_mark(char32_t c);
/// What BertNormalizer removes as control characters: categories Cc, Cf and Co, but not tab and line ends.
bool is_control(char32_t c);

}  // namespace prune::tokenizer
