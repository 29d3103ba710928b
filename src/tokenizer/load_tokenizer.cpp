#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/tokenizer/tokenizer.h>

#include "composed_tokenizer.h"
#include "sentencepiece_files.h"
#include "tokenizer_config.h"
#include "tokenizer_json.h"
#include "vocab_merges_files.h"

namespace prune::tokenizer {

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  const TokenizerConfig config = read_tokenizer_config(folder);
  if (has("tokenizer.json")) {
    return std::make_unique<ComposedTokenizer>(
        read_tokenizer_json(folder / "tokenizer.json", config));
  }
  if (has("vocab.json") && has("merges.txt")) {
    return std::make_unique<ComposedTokenizer>(read_vocab_merges_files(folder, config));
  }
  if (has("tokenizer.model")) {
    return std::make_unique<ComposedTokenizer>(read_sentencepiece_files(folder, config));
  }
  throw Error(ErrorKind::kInput,
              fmt::format("{}: no tokenizer found: neither tokenizer.json, nor vocab.json with "
                          "merges.txt, nor tokenizer.model",
                          folder.string()));
}

}  // namespace prune::tokenizer
