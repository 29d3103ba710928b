#include "tokenizer_config.h"

#include <prune/core/error.h>

#include <map>

namespace prune::calibration {
namespace {

constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
constexpr const char* kTokenLists[] = {"additional_special_tokens", "extra_special_tokens"};

json read_json_if_present(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_json(path) : json::object();
}

std::optional<std::string> content_of(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  return read_added_token(*found).content;
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
  for (const auto& [id, token] : value_or(config, "added_tokens_decoder", json::object()).items()) {
    by_id[std::stoll(id)] = read_added_token(token);
  }
  std::vector<AddedToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

/// added_tokens.json of old folders: {content: id}.
std::vector<AddedToken> legacy_added_tokens(const std::filesystem::path& folder,
                                            const std::vector<AddedToken>& special) {
  std::map<int64_t, AddedToken> by_id;
  for (const auto& [content, id] : read_json_if_present(folder / "added_tokens.json").items()) {
    bool is_special = false;
    for (const AddedToken& token : special) is_special |= token.content == content;
    by_id[id.get<int64_t>()] = {.content = content, .normalized = !is_special};
  }
  std::vector<AddedToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

TokenizerConfig read_files(const std::filesystem::path& folder) {
  json config = read_json_if_present(folder / "tokenizer_config.json");
  const bool has_decoder = config.contains("added_tokens_decoder");
  if (!has_decoder) {
    // Older folders keep the descriptions of special tokens apart; they count more than the config.
    config.update(read_json_if_present(folder / "special_tokens_map.json"));
  }
  TokenizerConfig result;
  result.special_tokens = special_tokens_of(config);
  result.added_tokens = has_decoder ? added_tokens_decoder(config)
                                    : legacy_added_tokens(folder, result.special_tokens);
  result.bos_token = content_of(config, "bos_token");
  result.eos_token = content_of(config, "eos_token");
  result.add_bos_token = value_or(config, "add_bos_token", false);
  result.add_eos_token = value_or(config, "add_eos_token", false);
  result.add_prefix_space = value_or(config, "add_prefix_space", false);
  result.tokenizer_class = value_or<std::string>(config, "tokenizer_class", "");
  if (result.tokenizer_class.ends_with("Fast")) {
    result.tokenizer_class.resize(result.tokenizer_class.size() - 4);
  }
  return result;
}

}  // namespace

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  try {
    return read_files(folder);
  } catch (const std::exception& e) {  // also of json's and of stoll's own
    if (const auto* error = dynamic_cast<const Error*>(&e)) throw Error(*error);
    throw Error(ErrorKind::kInput, e.what()).in((folder / "tokenizer_config.json").string());
  }
}

void add_tokens_of(const TokenizerConfig& config, const Bpe& model, AddedTokens& added) {
  for (const AddedToken& token : config.added_tokens) added.add(token, model);
  for (const AddedToken& token : config.special_tokens) {
    if (!added.id_of(token.content)) added.add(token, model);
  }
}

}  // namespace prune::calibration
