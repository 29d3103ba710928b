#include "tokenizer_json.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "bpe.h"
#include "unigram.h"

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

BpeOptions read_options(const json& model) {
  BpeOptions options;
  const auto unk = value_or<std::string>(model, "unk_token", "");
  if (!unk.empty()) options.unk_token = unk;
  options.continuing_subword_prefix = read_decoration(model, "continuing_subword_prefix");
  options.end_of_word_suffix = read_decoration(model, "end_of_word_suffix");
  options.fuse_unk = value_or(model, "fuse_unk", false);
  options.byte_fallback = value_or(model, "byte_fallback", false);
  options.ignore_merges = value_or(model, "ignore_merges", false);
  return options;
}

/// Very old files have no type; a BPE model is recognised by its merges, Unigram by its list of scores.
std::string type_of(const json& model) {
  const bool has_list = model.contains("vocab") && model["vocab"].is_array();
  const char* otherwise = has_list ? "Unigram" : "?";
  return value_or<std::string>(model, "type", model.contains("merges") ? "BPE" : otherwise);
}

std::unique_ptr<Model> read_unigram(const json& model) {
  std::optional<size_t> unk_id;
  if (model.contains("unk_id") && !model["unk_id"].is_null()) {
    unk_id = require<size_t>(model, "unk_id");
  }
  return std::make_unique<Unigram>(read_scored_tokens(model["vocab"]), unk_id,
                                   value_or(model, "byte_fallback", false));
}

std::unique_ptr<Model> read_model(const json& model, const std::optional<ClassRules>& rules) {
  const std::string type = type_of(model);
  if (type != "BPE" && type != "Unigram") {
    throw Error(ErrorKind::kInput,
                fmt::format("model '{}' is not supported, only BPE and Unigram are", type));
  }
  if (rules && type != "BPE") {
    throw Error(
        ErrorKind::kInput,
        fmt::format("the tokenizer_class of this folder needs a BPE model, not '{}'", type));
  }
  if (!model.contains("vocab")) throw_json_error("vocab", "is missing");
  if (type == "Unigram") return read_unigram(model);
  if (!model.contains("merges")) throw_json_error("merges", "is missing");
  return std::make_unique<Bpe>(read_vocabulary(model["vocab"]), read_merges(model["merges"]),
                               rules ? rules->model : read_options(model));
}

/// The value of a key; null if it is absent.
json part(const json& file, const char* key) { return value_or(file, key, json()); }

/// Added tokens in the sequence in which they get their ids: that of the file, or by id if a class takes
/// them over.
std::vector<AddedToken> read_added_tokens(const json& file, bool by_id) {
  std::vector<std::pair<int64_t, AddedToken>> tokens;
  for (const json& token : value_or(file, "added_tokens", json::array())) {
    tokens.emplace_back(by_id ? value_or<int64_t>(token, "id", 0) : 0, read_added_token(token));
  }
  std::ranges::stable_sort(tokens, {}, &std::pair<int64_t, AddedToken>::first);
  std::vector<AddedToken> sorted;
  for (auto& [id, token] : tokens) sorted.push_back(std::move(token));
  return sorted;
}

/// A description without the keys that do not affect ids, for comparisons.
json essential(json description) {
  if (!description.is_structured()) return description;
  if (description.is_object()) {
    description.erase("trim_offsets");
    if (!value_or(description, "invert", false)) description.erase("invert");
  }
  for (json& part : description) part = essential(part);
  return description;
}

bool is_byte_level(const json& normalizer, const json& pre_tokenizer) {
  return (normalizer.dump() + pre_tokenizer.dump()).find("\"ByteLevel\"") != std::string::npos;
}

/// Says in the log what the tokenizer class means for the rules of the file.
void log_class(const json& file, const TokenizerConfig& config,
               const std::optional<ClassRules>& rules) {
  const std::string& name = config.tokenizer_class;
  if (!rules) {
    if (name.empty()) return;
    spdlog::warn(
        "tokenizer.json: its rules apply; those that Transformers 5 has for {} are not known",
        name);
    return;
  }
  const json normalizer = part(file, "normalizer");
  const json pre_tokenizer = part(file, "pre_tokenizer");
  if (is_byte_level(normalizer, pre_tokenizer) !=
      is_byte_level(rules->normalizer, rules->pre_tokenizer)) {
    spdlog::warn(
        "tokenizer.json: Transformers 5 replaces its rules by those of {}, which do not fit its "
        "vocabulary; if that is not meant, name PreTrainedTokenizerFast in tokenizer_config.json",
        name);
  } else if (essential(normalizer) != essential(rules->normalizer) ||
             essential(pre_tokenizer) != essential(rules->pre_tokenizer)) {
    spdlog::info("tokenizer.json: the rules of {} replace its own, as in Transformers 5", name);
  }
}

TokenizerParts read_parts(const json& file, const TokenizerConfig& config) {
  if (!file.is_object() || !file.contains("model")) throw_json_error("model", "is missing");
  const std::optional<ClassRules> rules = class_rules(config);
  log_class(file, config, rules);
  TokenizerParts parts{
      .added_tokens = {},
      .normalizer = make_normalizer(rules ? rules->normalizer : part(file, "normalizer")),
      .pre_tokenizer =
          make_pre_tokenizer(rules ? rules->pre_tokenizer : part(file, "pre_tokenizer")),
      .model = read_model(file["model"], rules),
      .post_processor = make_post_processor(part(file, "post_processor")),
      .decoder = Decoder(rules ? rules->decoder : part(file, "decoder"))};
  if (!rules || !config.has_decoder) {
    for (AddedToken& token : read_added_tokens(file, rules.has_value())) {
      parts.added_tokens.add(std::move(token), *parts.model);
    }
  }
  if (rules) {
    add_tokens_of_class(config, *rules, parts);
  } else {
    add_tokens_of(config, *parts.model, parts.added_tokens);
  }
  // Transformers ignores both flags beside a tokenizer.json, except for a class's own default.
  if (rules && (rules->own_post_processor || part(file, "post_processor").is_null())) {
    TokenizerConfig without_flags = config;
    without_flags.add_bos_token = std::nullopt;
    without_flags.add_eos_token = false;
    parts.post_processor = bos_and_eos(without_flags, *rules, parts);
  }
  apply_config(config, rules, parts);
  return parts;
}

}  // namespace

TokenizerParts read_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config) {
  const json file = read_json(path);
  try {
    return read_parts(file, config);
  } catch (Error& error) {
    error.in(path.string());
    throw;
  } catch (const json::exception& e) {
    throw Error(ErrorKind::kInput, fmt::format("{}: {}", path.string(), e.what()));
  }
}

}  // namespace prune::tokenizer
