#include "gpt2_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <string_view>
#include <utility>

namespace prune::calibration {
namespace {

/// One pair a line, best first; the first line names the version.
Merges read_merges(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  Merges merges;
  int64_t line_number = 0;
  for (size_t begin = 0; begin < file.size();) {
    const size_t end = std::min(file.find('\n', begin), file.size());
    std::string_view line = std::string_view(file).substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw Error(ErrorKind::kInput, fmt::format("{}:{}: '{}' is no pair of tokens", path.string(),
                                                 line_number, line));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

Bpe read_model(const std::filesystem::path& folder) {
  const json vocab = read_json(folder / "vocab.json");
  const Merges merges = read_merges(folder / "merges.txt");
  try {
    return {read_vocabulary(vocab), merges, {}};
  } catch (Error& error) {
    error.in((folder / "vocab.json").string());
    throw;
  }
}

/// What GPT2Tokenizer takes for bos, eos and unk when no file names them.
constexpr const char* kDefaultToken = "<|endoftext|>";

std::optional<std::string> token_or_default(const TokenizerConfig& config, const char* key) {
  const auto found = config.named_tokens.find(key);
  return found == config.named_tokens.end() ? kDefaultToken : found->second;
}

/// Transformers gives the default token a new id where the vocabulary lacks it. The model has no row
/// for such an id, so here the token stays plain text.
void add_default_token(const TokenizerConfig& config, Pipeline& pipeline) {
  if (!pipeline.model.id_of(kDefaultToken)) return;
  for (const char* key : {"bos_token", "eos_token", "unk_token"}) {
    if (token_or_default(config, key) != kDefaultToken) continue;
    if (pipeline.added_tokens.id_of(kDefaultToken)) continue;
    pipeline.added_tokens.add({.content = kDefaultToken, .normalized = false}, pipeline.model);
  }
}

/// The ids that "add_bos_token" or "add_eos_token" asks for.
std::vector<int64_t> template_ids(bool wanted, const char* key, const TokenizerConfig& config,
                                  const Pipeline& pipeline) {
  const std::optional<std::string> token = token_or_default(config, key);
  if (!wanted || !token) return {};
  const std::optional<uint32_t> id = pipeline.added_tokens.id_of(*token);
  if (id) return {*id};
  throw Error(
      ErrorKind::kInput,
      fmt::format("tokenizer_config.json: asks for '{}' in every text, but names none and the "
                  "vocabulary lacks the default '{}'",
                  key, kDefaultToken));
}

}  // namespace

Pipeline read_gpt2_files(const std::filesystem::path& folder, const TokenizerConfig& config) {
  if (!config.tokenizer_class.empty() && config.tokenizer_class != "GPT2Tokenizer") {
    throw Error(
        ErrorKind::kInput,
        fmt::format("{}: tokenizer_class '{}' without tokenizer.json is not supported, only "
                    "GPT2Tokenizer is",
                    folder.string(), config.tokenizer_class));
  }
  Pipeline pipeline{.added_tokens = {},
                    .normalizer = nullptr,
                    .pre_tokenizer = byte_level_pre_tokenizer(config.add_prefix_space, true),
                    .model = read_model(folder),
                    .post_processor = nullptr};
  add_tokens_of(config, pipeline.model, pipeline.added_tokens);
  add_default_token(config, pipeline);
  pipeline.post_processor =
      surround(template_ids(config.add_bos_token, "bos_token", config, pipeline),
               template_ids(config.add_eos_token, "eos_token", config, pipeline));
  return pipeline;
}

}  // namespace prune::calibration
