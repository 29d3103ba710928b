#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "composed_tokenizer.h"

namespace prune::tokenizer {

/// The settings of tokenizer_config.json, special_tokens_map.json and added_tokens.json that affect ids.
/// An absent file sets nothing.
struct TokenizerConfig {
  std::vector<AddedToken> added_tokens;    ///< full descriptions, by ascending id
  std::vector<AddedToken> special_tokens;  ///< bos, eos, unk, ...; added unless present
  /// "bos_token", "eos_token", ... -> the token's text; std::nullopt if the file says null.
  std::map<std::string, std::optional<std::string>> named_tokens;
  bool add_bos_token = false;
  bool add_eos_token = false;
  std::optional<bool> add_prefix_space;
  bool legacy = false;          ///< LLaMA: also prepends the space mark after each added token
  std::string tokenizer_class;  ///< without the suffix "Fast"; empty if the file names none
};

/// @throws Error(input) with the path if a file is broken.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// Adds the config's tokens after the tokenizer's, as Transformers does when it opens a folder: full
/// descriptions replace the tokenizer's own, and mere names are added only if the token is missing.
void add_tokens_of(const TokenizerConfig& config, const Bpe& model, AddedTokens& added);

/// Id of a token by its text: an added token's, or the model's.
std::optional<int64_t> id_of_named(const std::optional<std::string>& token,
                                   const TokenizerParts& parts);

/// The bos, eos and unk tokens that a tokenizer class uses if no file names them.
struct DefaultTokens {
  const char* bos;
  const char* eos;
  const char* unk;
};

/// Completes the parts of a tokenizer without tokenizer.json: adds the config's tokens, the defaults for
/// tokens that it does not name, and BOS and EOS around every text if it asks for them. Transformers gives
/// a default that the vocabulary lacks a new id; the model has no row for such an id, so here it stays
/// plain text.
/// @throws Error(input) if the config asks for a BOS or EOS that does not exist.
void finish_with(const TokenizerConfig& config, const DefaultTokens& defaults,
                 TokenizerParts& parts);

}  // namespace prune::tokenizer
