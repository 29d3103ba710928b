#pragma once

#include <prune/core/json_file.h>

#include <filesystem>
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
  BpeOptions model;
  /// Special tokens that the class names where the folder does not: "bos_token" -> "<s>", ...
  std::vector<std::pair<std::string, std::string>> default_tokens;
  bool adds_bos = false;  ///< the default of add_bos_token
  /// Ignores the post-processor of tokenizer.json, too: only add_bos_token and add_eos_token count.
  bool own_post_processor = false;
  /// Matches its special tokens without the options of the folder (lstrip, normalized, ...).
  bool plain_special_tokens = false;
};

/// The class with which AutoTokenizer opens a folder; empty for TokenizersBackend, which follows
/// tokenizer.json. The arguments are empty where the files do not say.
/// @param named         tokenizer_class of tokenizer_config.json, else of config.json
/// @param model_type    of config.json
/// @param has_auto_map  tokenizer_config.json names code of its own
std::string class_of_folder(const std::string& named, const std::string& model_type,
                            bool has_auto_map);

/// True for repositories of the Hub whose named class AutoTokenizer ignores: models--ORG--NAME of the Hub's cache,
/// or a folder ORG/NAME.
bool names_wrong_class(const std::filesystem::path& folder);

/// std::nullopt for TokenizersBackend, and for a class whose own rules are not known here.
std::optional<ClassRules> class_rules(const TokenizerConfig& config);

}  // namespace prune::tokenizer
