#include "tokenizer_json.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <utility>

namespace prune::tokenizer {
namespace {

/// ["a", "b"], or "a b" in files from before 2024.
std::pair<std::string, std::string> read_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  const std::string text = merge.is_string() ? merge.get<std::string>() : "";
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    throw Error(ErrorKind::kInput, fmt::format("merges: {} is not a pair of tokens", merge.dump()));
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

Merges read_merges(const json& list) {
  if (!list.is_array()) throw Error(ErrorKind::kInput, "key 'merges' is not a JSON array");
  Merges merges;
  merges.reserve(list.size());
  for (const json& merge : list) {
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    merges.push_back(read_merge(merge));
  }
  return merges;
}

/// A prefix or suffix that BPE adds to characters; limited because a long one would multiply the text.
std::string read_decoration(const json& model, const char* key) {
  constexpr size_t kMaxBytes = 64;
  auto text = value_or<std::string>(model, key, "");
  if (text.size() > kMaxBytes) {
    throw_json_error(key, fmt::format("has {} bytes, the limit is {}", text.size(), kMaxBytes));
  }
  return text;
}

Bpe read_model(const json& model) {
  // Very old files have no type; a BPE model is recognised by its merges.
  const auto type = value_or<std::string>(model, "type", model.contains("merges") ? "BPE" : "?");
  if (type != "BPE") {
    throw Error(ErrorKind::kInput, fmt::format("model '{}' is not supported, only BPE is", type));
  }
  BpeOptions options;
  const auto unk = value_or<std::string>(model, "unk_token", "");
  if (!unk.empty()) options.unk_token = unk;
  options.continuing_subword_prefix = read_decoration(model, "continuing_subword_prefix");
  options.end_of_word_suffix = read_decoration(model, "end_of_word_suffix");
  options.fuse_unk = value_or(model, "fuse_unk", false);
  options.byte_fallback = value_or(model, "byte_fallback", false);
  options.ignore_merges = value_or(model, "ignore_merges", false);
  if (!model.contains("vocab")) throw_json_error("vocab", "is missing");
  if (!model.contains("merges")) throw_json_error("merges", "is missing");
  return {read_vocabulary(model["vocab"]), read_merges(model["merges"]), std::move(options)};
}

/// The value of a key; null if it is absent.
json part(const json& file, const char* key) { return value_or(file, key, json()); }

}  // namespace

TokenizerParts read_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config) {
  const json file = read_json(path);
  try {
    if (!file.is_object() || !file.contains("model")) throw_json_error("model", "is missing");
    TokenizerParts parts{.added_tokens = {},
                         .normalizer = make_normalizer(part(file, "normalizer")),
                         .pre_tokenizer = make_pre_tokenizer(part(file, "pre_tokenizer")),
                         .model = read_model(file["model"]),
                         .post_processor = make_post_processor(part(file, "post_processor")),
                         .bos_id = std::nullopt};
    for (const json& token : value_or(file, "added_tokens", json::array())) {
      parts.added_tokens.add(read_added_token(token), parts.model);
    }
    add_tokens_of(config, parts.model, parts.added_tokens);
    const auto bos = config.named_tokens.find("bos_token");
    if (bos != config.named_tokens.end()) parts.bos_id = id_of_named(bos->second, parts);
    return parts;
  } catch (Error& error) {
    error.in(path.string());
    throw;
  } catch (const json::exception& e) {
    throw Error(ErrorKind::kInput, fmt::format("{}: {}", path.string(), e.what()));
  }
}

}  // namespace prune::tokenizer
