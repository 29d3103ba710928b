#include "tokenizer_config.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <map>
#include <set>

namespace prune::tokenizer {
namespace {

constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
constexpr const char* kTokenLists[] = {"additional_special_tokens", "extra_special_tokens"};

json read_json_if_present(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_json(path) : json::object();
}

std::map<std::string, std::optional<std::string>> named_tokens_of(const json& config) {
  std::map<std::string, std::optional<std::string>> named;
  for (const char* key : kNamedTokens) {
    const auto found = config.find(key);
    if (found == config.end()) continue;
    if (!found->is_null())
      named[key] = read_added_token(*found).content;
    else
      named[key] = std::nullopt;
  }
  return named;
}

std::vector<AddedToken> special_tokens_of(const json& config) {
  std::vector<AddedToken> tokens;
  for (const char* key : kNamedTokens) {
    const auto found = config.find(key);
    if (found != config.end() && !found->is_null()) tokens.push_back(read_added_token(*found));
  }
  for (const char* key : kTokenLists) {
    const auto found = config.find(key);
    if (found == config.end() || !found->is_array()) continue;
    for (const json& token : *found) tokens.push_back(read_added_token(token));
  }
  return tokens;
}

std::vector<AddedToken> added_tokens_decoder(const json& config) {
  std::map<int64_t, AddedToken> by_id;
  const json described = value_or(config, "added_tokens_decoder", json::object());
  for (const auto& [id, token] : described.items()) {
    by_id[std::stoll(id)] = read_added_token(token);
  }
  std::vector<AddedToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

/// Reads added_tokens.json of old folders: {content: id}.
std::vector<AddedToken> legacy_added_tokens(const json& listed,
                                            const std::vector<AddedToken>& special) {
  std::set<std::string> special_contents;
  for (const AddedToken& token : special) special_contents.insert(token.content);
  std::map<int64_t, AddedToken> by_id;
  for (const auto& [content, id] : listed.items()) {
    if (!is_integer<int64_t>(id))
      throw_json_error(content.c_str(), "has an id that is not a whole number");
    by_id[id.get<int64_t>()] = {.content = content,
                                .normalized = special_contents.count(content) == 0};
  }
  std::vector<AddedToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

/// The parsed files of a folder; an absent file is an empty object.
struct Files {
  json config;
  json special_tokens_map;
  json added_tokens;
};

Files read_files(const std::filesystem::path& folder) {
  return {.config = read_json_if_present(folder / "tokenizer_config.json"),
          .special_tokens_map = read_json_if_present(folder / "special_tokens_map.json"),
          .added_tokens = read_json_if_present(folder / "added_tokens.json")};
}

TokenizerConfig interpret(const Files& files) {
  json config = files.config;
  const bool has_decoder = config.contains("added_tokens_decoder");
  // Older folders describe special tokens in a separate file, which overrides the config.
  if (!has_decoder) config.update(files.special_tokens_map);
  TokenizerConfig result;
  result.special_tokens = special_tokens_of(config);
  result.added_tokens = has_decoder
                            ? added_tokens_decoder(config)
                            : legacy_added_tokens(files.added_tokens, result.special_tokens);
  result.named_tokens = named_tokens_of(config);
  result.add_bos_token = value_or(config, "add_bos_token", false);
  result.add_eos_token = value_or(config, "add_eos_token", false);
  if (config.contains("add_prefix_space") && !config["add_prefix_space"].is_null()) {
    result.add_prefix_space = require<bool>(config, "add_prefix_space");
  }
  result.legacy = value_or(config, "legacy", false);
  result.tokenizer_class = value_or<std::string>(config, "tokenizer_class", "");
  if (result.tokenizer_class.ends_with("Fast")) {
    result.tokenizer_class.resize(result.tokenizer_class.size() - 4);
  }
  return result;
}

/// The text of a named token; std::nullopt if the config says null.
std::optional<std::string> token_or(const TokenizerConfig& config, const char* key,
                                    const char* otherwise) {
  const auto found = config.named_tokens.find(key);
  return found == config.named_tokens.end() ? otherwise : found->second;
}

std::vector<int64_t> template_ids(bool wanted, const std::optional<std::string>& token,
                                  const char* key, const AddedTokens& added) {
  if (!wanted || !token) return {};
  if (const std::optional<uint32_t> id = added.id_of(*token)) return {*id};
  throw Error(
      ErrorKind::kInput,
      fmt::format("tokenizer_config.json asks for {} in every text but does not name it, and "
                  "the vocabulary lacks the default '{}'",
                  key, *token));
}

}  // namespace

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  const Files files = read_files(folder);
  try {
    return interpret(files);
  } catch (const std::exception& e) {  // also thrown by json and std::stoll
    throw Error(ErrorKind::kInput, e.what()).in((folder / "tokenizer_config.json").string());
  }
}

void add_tokens_of(const TokenizerConfig& config, const Bpe& model, AddedTokens& added) {
  for (const AddedToken& token : config.added_tokens) added.add(token, model);
  for (const AddedToken& token : config.special_tokens) {
    if (!added.id_of(token.content)) added.add(token, model);
  }
}

std::optional<int64_t> id_of_named(const std::optional<std::string>& token,
                                   const TokenizerParts& parts) {
  if (!token) return std::nullopt;
  const std::optional<uint32_t> added = parts.added_tokens.id_of(*token);
  return added ? added : parts.model.id_of(*token);
}

void finish_with(const TokenizerConfig& config, const DefaultTokens& defaults,
                 TokenizerParts& parts) {
  AddedTokens& added = parts.added_tokens;
  add_tokens_of(config, parts.model, added);
  const std::optional<std::string> bos = token_or(config, "bos_token", defaults.bos);
  const std::optional<std::string> eos = token_or(config, "eos_token", defaults.eos);
  const std::optional<std::string> unk = token_or(config, "unk_token", defaults.unk);
  for (const auto& token : {bos, eos, unk}) {
    if (!token || added.id_of(*token) || !parts.model.id_of(*token)) continue;
    added.add({.content = *token, .normalized = false}, parts.model);
  }
  parts.bos_id = id_of_named(bos, parts);
  parts.post_processor = surround(template_ids(config.add_bos_token, bos, "bos_token", added),
                                  template_ids(config.add_eos_token, eos, "eos_token", added));
}

}  // namespace prune::tokenizer
