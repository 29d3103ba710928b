#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "composed_tokenizer.h"

namespace prune::tokenizer {

/// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say, as far as it
/// changes ids. A file that is absent says nothing.
struct TokenizerConfig {
  std::vector<AddedToken> added_tokens;    ///< in full, by ascending id
  std::vector<AddedToken> special_tokens;  ///< bos, eos, unk, ... : added unless they are already
  /// "bos_token", "eos_token", ... -> its text; nothing where the file says null.
  std::map<std::string, std::optional<std::string>> named_tokens;
  bool add_bos_token = false;
  bool add_eos_token = false;
  std::optional<bool> add_prefix_space;
  bool legacy = false;          ///< LLaMA: a mark for the leading space behind every added token
  std::string tokenizer_class;  ///< without "Fast"; empty when not said
};

/// @throws Error(input) with the file when one of them is broken.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// Adds the tokens of the config behind those of the tokenizer, as Transformers does when it opens a
/// folder: full descriptions replace the tokenizer's own, names only fill in what is missing.
void add_tokens_of(const TokenizerConfig& config, const Bpe& model, AddedTokens& added);

/// What a tokenizer class takes for bos, eos and unk when no file names them.
struct DefaultTokens {
  const char* bos;
  const char* eos;
  const char* unk;
};

/// Completes the pipeline of a folder without tokenizer.json: the config's tokens, the defaults for
/// those it does not name, and the BOS and EOS it asks for around every text. A default that the
/// vocabulary lacks gets a new id from Transformers; the model has no row for such an id, so here it
/// stays plain text.
/// @throws Error(input) when BOS or EOS is asked for and there is none.
void finish_with(const TokenizerConfig& config, const DefaultTokens& defaults, Pipeline& pipeline);

}  // namespace prune::tokenizer
