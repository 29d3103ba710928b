#include "gpt2_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <string_view>
#include <utility>

namespace prune::tokenizer {
namespace {

/// One pair per line, lowest rank first; the first line names the version.
Merges read_merges(const std::filesystem::path& path) {
  constexpr int64_t kMaxBytes = int64_t{64} << 20;  // GPT-2's file has half a megabyte
  const std::string file = read_file(path, kMaxBytes);
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
      throw Error(ErrorKind::kInput, fmt::format("{}:{}: '{}' is not a pair of tokens",
                                                 path.string(), line_number, line));
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

constexpr DefaultTokens kDefaults = {
    .bos = "<|endoftext|>", .eos = "<|endoftext|>", .unk = "<|endoftext|>"};

}  // namespace

TokenizerParts read_gpt2_files(const std::filesystem::path& folder, const TokenizerConfig& config) {
  if (!config.tokenizer_class.empty() && config.tokenizer_class != "GPT2Tokenizer") {
    throw Error(
        ErrorKind::kInput,
        fmt::format("{}: tokenizer_class '{}' without tokenizer.json is not supported, only "
                    "GPT2Tokenizer is",
                    folder.string(), config.tokenizer_class));
  }
  TokenizerParts parts{
      .added_tokens = {},
      .normalizer = nullptr,
      .pre_tokenizer = byte_level_pre_tokenizer(config.add_prefix_space.value_or(false), true),
      .model = read_model(folder),
      .post_processor = nullptr,
      .bos_id = std::nullopt};
  finish_with(config, kDefaults, parts);
  return parts;
}

}  // namespace prune::tokenizer
