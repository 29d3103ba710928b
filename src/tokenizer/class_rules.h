#pragma once

#include <prune/core/json_file.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bpe.h"

namespace prune::tokenizer {

struct TokenizerConfig;

/// The rules that a tokenizer class of Transformers 5 brings along. Such a class takes vocabulary, merges and
/// post-processor from tokenizer.json and ignores its other parts (src/tokenizer/README.md, "Classes").
struct ClassRules {
  json normalizer;     ///< as in tokenizer.json
  json pre_tokenizer;  ///< as in tokenizer.json
  json decoder;        ///< as in tokenizer.json
  BpeOptions model;
  /// Special tokens that the class names where the folder does not: "bos_token" -> "<s>", ...
  std::vector<std::pair<std::string, std::string>> default_tokens;
  bool adds_bos = false;  ///< the default of add_bos_token
  /// Ignores the post-processor of tokenizer.json, too: only add_bos_token and add_eos_token count.
  bool own_post_processor = false;
  /// Matches its special tokens without the options of the folder (lstrip, normalized, ...).
  bool plain_special_tokens = false;
};

/// The decoder of a vocabulary that has ▁ for a space.
/// @param strip  drops the space at the start of the text.
json mark_decoder(bool byte_fallback, bool strip);

bool has_class_rules(const std::string& name);

/// std::nullopt for TokenizersBackend, and for a class whose own rules are not known here.
std::optional<ClassRules> class_rules(const TokenizerConfig& config);

}  // namespace prune::tokenizer
