#include "vocab_merges_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/git_lfs.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "bpe.h"

namespace prune::tokenizer {
namespace {

/// One pair per line, lowest rank first; the first line names the version.
Merges read_merges(const std::filesystem::path& path) {
  constexpr int64_t kMaxBytes = int64_t{64} << 20;  // GPT-2's file has half a megabyte
  const std::string file = read_file(path, kMaxBytes);
  try {
    reject_lfs_pointer(file);
  } catch (Error& error) {
    throw error.in(path.string());
  }
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

std::unique_ptr<Model> read_model(const std::filesystem::path& folder, const BpeOptions& options) {
  const json vocab = read_json(folder / "vocab.json");
  const Merges merges = read_merges(folder / "merges.txt");
  try {
    return std::make_unique<Bpe>(read_vocabulary(vocab), merges, options);
  } catch (Error& error) {
    error.in((folder / "vocab.json").string());
    throw;
  }
}

/// Classes whose folders may hold only these two files.
constexpr std::string_view kClasses[] = {"CodeGenTokenizer", "CohereTokenizer", "GPT2Tokenizer",
                                         "GPTNeoXTokenizer", "Qwen2Tokenizer"};

}  // namespace

TokenizerParts read_vocab_merges_files(const std::filesystem::path& folder,
                                       const TokenizerConfig& config) {
  if (std::ranges::find(kClasses, config.tokenizer_class) == std::end(kClasses)) {
    throw Error(
        ErrorKind::kInput,
        fmt::format("{}: vocab.json and merges.txt without tokenizer.json need a tokenizer class: "
                    "{}; tokenizer_class '{}' of this folder means {}",
                    folder.string(), fmt::join(kClasses, ", "), config.named_class,
                    config.tokenizer_class.empty() ? "TokenizersBackend" : config.tokenizer_class));
  }
  const std::optional<ClassRules> rules = class_rules(config);
  TokenizerParts parts{.added_tokens = {},
                       .normalizer = make_normalizer(rules->normalizer),
                       .pre_tokenizer = make_pre_tokenizer(rules->pre_tokenizer),
                       .model = read_model(folder, rules->model),
                       .post_processor = nullptr,
                       .decoder = Decoder(rules->decoder)};
  add_tokens_of_class(config, *rules, parts);
  parts.post_processor = bos_and_eos(config, *rules, parts);
  apply_config(config, rules, parts);
  return parts;
}

}  // namespace prune::tokenizer
