#include "tokenizer_config.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "tokenizer_class.h"

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

/// True for a key such as "image_token", by which a model names a special token of its own.
bool names_own_token(const std::string& key, const json& value) {
  if (!key.ends_with("_token") || std::ranges::find(kNamedTokens, key) != std::end(kNamedTokens)) {
    return false;
  }
  return value.is_string() || (value.is_object() && value.contains("content"));
}

std::vector<AddedToken> special_tokens_of(const json& config) {
  std::vector<AddedToken> tokens;
  const auto add = [&](const json& description) {
    tokens.push_back(read_added_token(description));
    tokens.back().special = true;
  };
  for (const char* key : kNamedTokens) {
    const auto found = config.find(key);
    if (found != config.end() && !found->is_null()) add(*found);
  }
  for (const auto& [key, value] : config.items()) {
    if (names_own_token(key, value)) add(value);
  }
  for (const char* key : kTokenLists) {
    const auto found = config.find(key);
    if (found == config.end() || !found->is_structured()) continue;
    for (const json& token : *found) add(token);  // an object maps names to tokens
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

/// Tokens that the model names itself: under keys such as "image_token", or in an object of extra_special_tokens.
std::map<std::string, std::string> own_tokens_of(const json& config) {
  std::map<std::string, std::string> tokens;
  for (const auto& [key, value] : config.items()) {
    if (names_own_token(key, value)) tokens[key] = read_added_token(value).content;
  }
  for (const char* list : kTokenLists) {
    const auto found = config.find(list);
    if (found == config.end() || !found->is_object()) continue;
    for (const auto& [key, value] : found->items()) tokens[key] = read_added_token(value).content;
  }
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
                                .normalized = special_contents.count(content) == 0,
                                .special = special_contents.count(content) != 0};
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
  json model;  // config.json
};

Files read_files(const std::filesystem::path& folder) {
  return {.config = read_json_if_present(folder / "tokenizer_config.json"),
          .special_tokens_map = read_json_if_present(folder / "special_tokens_map.json"),
          .added_tokens = read_json_if_present(folder / "added_tokens.json"),
          .model = read_json_if_present(folder / "config.json")};
}

std::string class_named_in(const Files& files) {
  auto name = value_or<std::string>(files.config, "tokenizer_class", "");
  if (name.empty()) name = value_or<std::string>(files.model, "tokenizer_class", "");
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

TokenizerConfig interpret(const Files& files) {
  json config = files.config;
  const bool has_decoder = config.contains("added_tokens_decoder");
  // Older folders describe special tokens in a separate file, which overrides the config.
  if (!has_decoder) config.update(files.special_tokens_map);
  TokenizerConfig result;
  result.special_tokens = special_tokens_of(config);
  result.has_decoder = has_decoder;
  result.added_tokens = has_decoder
                            ? added_tokens_decoder(config)
                            : legacy_added_tokens(files.added_tokens, result.special_tokens);
  result.named_tokens = named_tokens_of(config);
  result.own_tokens = own_tokens_of(config);
  if (config.contains("add_bos_token") && !config["add_bos_token"].is_null()) {
    result.add_bos_token = require<bool>(config, "add_bos_token");
  }
  result.add_eos_token = value_or(config, "add_eos_token", false);
  if (config.contains("add_prefix_space") && !config["add_prefix_space"].is_null()) {
    result.add_prefix_space = require<bool>(config, "add_prefix_space");
  }
  result.legacy = value_or(config, "legacy", false);
  result.split_special_tokens = value_or(config, "split_special_tokens", false);
  result.named_class = class_named_in(files);
  result.tokenizer_class =
      class_of_folder(result.named_class, value_or<std::string>(files.model, "model_type", ""),
                      files.config.contains("auto_map"));
  return result;
}

std::optional<std::string> default_token(const ClassRules& rules, const char* key) {
  const auto found =
      std::ranges::find(rules.default_tokens, key, &std::pair<std::string, std::string>::first);
  if (found == rules.default_tokens.end()) return std::nullopt;
  return found->second;
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
    TokenizerConfig config = interpret(files);
    if (names_wrong_class(folder) && !files.config.contains("auto_map"))
      config.tokenizer_class = "";
    return config;
  } catch (const std::exception& e) {  // also thrown by json and std::stoll
    throw Error(ErrorKind::kInput, e.what()).in((folder / "tokenizer_config.json").string());
  }
}

std::optional<std::string> TokenizerConfig::named_token(
    const std::string& key, std::optional<std::string> otherwise) const {
  const auto found = named_tokens.find(key);
  return found == named_tokens.end() ? std::move(otherwise) : found->second;
}

void add_tokens_of(const TokenizerConfig& config, const Model& model, AddedTokens& added) {
  for (const AddedToken& token : config.added_tokens) added.add(token, model);
  for (const AddedToken& token : config.special_tokens) {
    if (!added.id_of(token.content)) added.add(token, model);
  }
}

void add_tokens_of_class(const TokenizerConfig& config, const ClassRules& rules,
                         TokenizerParts& parts) {
  AddedTokens& added = parts.added_tokens;
  const auto add_plain = [&](const std::string& content) {
    added.add({.content = content, .normalized = false, .special = true}, *parts.model);
  };
  add_tokens_of(config, *parts.model, added);
  if (rules.plain_special_tokens) {
    for (const AddedToken& token : config.special_tokens) add_plain(token.content);
  }
  for (const auto& [key, content] : rules.default_tokens) {
    const bool is_named = config.named_tokens.contains(key);
    const bool is_new = !added.id_of(content) || rules.plain_special_tokens;
    if (!is_named && is_new && parts.model->id_of(content)) add_plain(content);
  }
}

PostProcessor bos_and_eos(const TokenizerConfig& config, const ClassRules& rules,
                          const TokenizerParts& parts) {
  const auto ids = [&](bool wanted, const char* key) {
    return template_ids(wanted, config.named_token(key, default_token(rules, key)), key,
                        parts.added_tokens);
  };
  return surround(ids(config.add_bos_token.value_or(rules.adds_bos), "bos_token"),
                  ids(config.add_eos_token, "eos_token"));
}

void apply_config(const TokenizerConfig& config, const std::optional<ClassRules>& rules,
                  TokenizerParts& parts) {
  for (const char* key : kNamedTokens) {
    const std::optional<std::string> otherwise = rules ? default_token(*rules, key) : std::nullopt;
    const std::optional<std::string> token = config.named_token(key, otherwise);
    if (token) parts.special_tokens[key] = *token;
  }
  parts.special_tokens.insert(config.own_tokens.begin(), config.own_tokens.end());
  const auto id_of = [&](const char* key) -> std::optional<int64_t> {
    const auto token = parts.special_tokens.find(key);
    if (token == parts.special_tokens.end()) return std::nullopt;
    const std::optional<uint32_t> added = parts.added_tokens.id_of(token->second);
    return added ? added : parts.model->id_of(token->second);
  };
  parts.bos_id = id_of("bos_token");
  parts.eos_id = id_of("eos_token");
  parts.split_special_tokens = config.split_special_tokens;
}

}  // namespace prune::tokenizer
