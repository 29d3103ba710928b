#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "class_rules.h"
#include "composed_tokenizer.h"

namespace prune::tokenizer {

/// The settings of tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json that
/// affect ids. An absent file sets nothing.
struct TokenizerConfig {
  std::vector<AddedToken> added_tokens;    ///< full descriptions, by ascending id
  std::vector<AddedToken> special_tokens;  ///< bos, eos, unk, ...; added unless present
  /// "bos_token", "eos_token", ... -> the token's text; std::nullopt if the file says null.
  std::map<std::string, std::optional<std::string>> named_tokens;
  std::map<std::string, std::string> own_tokens;  ///< "image_token", ... of the model -> text
  bool has_decoder = false;  ///< added_tokens come from "added_tokens_decoder", which is complete
  std::optional<bool> add_bos_token;
  bool add_eos_token = false;
  std::optional<bool> add_prefix_space;
  bool legacy = false;  ///< LLaMA: also prepends the space mark after each added token
  bool split_special_tokens = false;
  std::string named_class;      ///< without the suffix "Fast"; empty if no file names one
  std::string tokenizer_class;  ///< that opens the folder (class_of_folder)

  /// The text of a named token; std::nullopt if the folder says null.
  std::optional<std::string> named_token(const std::string& key,
                                         std::optional<std::string> otherwise) const;
};

/// @throws Error(input) with the path if a file is broken.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// Adds the config's tokens after the tokenizer's, as Transformers does when it opens a folder: full
/// descriptions replace the tokenizer's own, and mere names are added only if the token is missing.
void add_tokens_of(const TokenizerConfig& config, const Model& model, AddedTokens& added);

/// Completes the parts of a tokenizer whose tokens, BOS and EOS are described by a class: adds the
/// config's tokens and the class's defaults for tokens that the config does not name. Transformers gives a
/// default that the vocabulary lacks a new id; the model has no row for such an id, so here it stays plain
/// text.
void add_tokens_of_class(const TokenizerConfig& config, const ClassRules& rules,
                         TokenizerParts& parts);

/// Puts BOS and EOS around every text as add_bos_token and add_eos_token ask for.
/// @throws Error(input) if they ask for a BOS or EOS that does not exist.
PostProcessor bos_and_eos(const TokenizerConfig& config, const ClassRules& rules,
                          const TokenizerParts& parts);

/// Fills in the special tokens that the folder or its class names, the ids of BOS and EOS, and whether special
/// tokens are split. Called once all tokens are added.
void apply_config(const TokenizerConfig& config, const std::optional<ClassRules>& rules,
                  TokenizerParts& parts);

}  // namespace prune::tokenizer
