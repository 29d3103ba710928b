#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "added_tokens.h"

namespace prune::calibration {

/// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say, as far as it
/// changes ids. A file that is absent says nothing.
struct TokenizerConfig {
  std::vector<AddedToken> added_tokens;    ///< in full, by ascending id
  std::vector<AddedToken> special_tokens;  ///< bos, eos, unk, ... : added unless they are already
  /// "bos_token", "eos_token", ... -> its text; nothing where the file says null.
  std::map<std::string, std::optional<std::string>> named_tokens;
  bool add_bos_token = false;
  bool add_eos_token = false;
  bool add_prefix_space = false;
  std::string tokenizer_class;  ///< without "Fast"; empty when not said
};

/// @throws Error(input) with the file when one of them is broken.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// Adds the tokens of the config behind those of the tokenizer, as Transformers does when it opens a
/// folder: full descriptions replace the tokenizer's own, names only fill in what is missing.
void add_tokens_of(const TokenizerConfig& config, const Bpe& model, AddedTokens& added);

}  // namespace prune::calibration
