#include "gpt2_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <string_view>
#include <utility>

namespace prune::calibration {
namespace {

Vocabulary read_vocabulary(const std::filesystem::path& path) {
  const json file = read_json(path);
  Vocabulary vocabulary;
  for (const auto& [token, id] : file.items()) {
    if (!id.is_number_unsigned()) {
      throw Error(ErrorKind::kInput,
                  fmt::format("{}: the id of '{}' is {}", path.string(), token, id.dump()));
    }
    vocabulary.emplace(token, id.get<uint32_t>());
  }
  return vocabulary;
}

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

/// The token of a template by its id. @throws Error(input) when it is asked for but not named.
std::vector<int64_t> template_ids(bool wanted, const std::optional<std::string>& token,
                                  const Pipeline& pipeline) {
  if (!wanted || !token) return {};
  const std::optional<uint32_t> id = pipeline.added_tokens.id_of(*token);
  if (!id) throw Error(ErrorKind::kInternal, fmt::format("token '{}' was not added", *token));
  return {*id};
}

/// What GPT2Tokenizer takes for bos, eos and unk when no file names them. Transformers gives it a new
/// id where the vocabulary lacks it; the model has no row for such an id, so here it stays text.
constexpr const char* kDefaultToken = "<|endoftext|>";

}  // namespace

Pipeline read_gpt2_files(const std::filesystem::path& folder, const TokenizerConfig& config) {
  if (!config.tokenizer_class.empty() && config.tokenizer_class != "GPT2Tokenizer") {
    throw Error(
        ErrorKind::kInput,
        fmt::format("{}: tokenizer_class '{}' without tokenizer.json is not supported, only "
                    "GPT2Tokenizer is",
                    folder.string(), config.tokenizer_class));
  }
  Pipeline pipeline{
      .added_tokens = {},
      .normalizer = nullptr,
      .pre_tokenizer = byte_level_pre_tokenizer(config.add_prefix_space, true),
      .model = Bpe(read_vocabulary(folder / "vocab.json"), read_merges(folder / "merges.txt"), {}),
      .post_processor = nullptr};
  add_tokens_of(config, pipeline.model, pipeline.added_tokens);
  std::optional<std::string> bos = config.bos_token;
  std::optional<std::string> eos = config.eos_token;
  if (pipeline.model.id_of(kDefaultToken)) {
    pipeline.added_tokens.add({.content = kDefaultToken, .normalized = false}, pipeline.model);
    bos = bos.value_or(kDefaultToken);
    eos = eos.value_or(kDefaultToken);
  }
  pipeline.post_processor = surround(template_ids(config.add_bos_token, bos, pipeline),
                                     template_ids(config.add_eos_token, eos, pipeline));
  return pipeline;
}

}  // namespace prune::calibration
