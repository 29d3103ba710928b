// Encodes arbitrary bytes with the tokenizers of the golden files; the first byte selects the tokenizer.
#include <prune/tokenizer/tokenizer.h>

#include <memory>
#include <vector>

#include "fuzz/fuzz.h"

using namespace prune;
namespace fs = std::filesystem;

using Tokenizers = std::vector<std::unique_ptr<tokenizer::Tokenizer>>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizers kTokenizers = [] {
    Tokenizers tokenizers;
    for (const char* name : {"bloom", "gpt2", "llama2", "llama3", "metaspace", "prefix", "qwen2",
                             "smollm2", "suffix"}) {
      const fs::path folder = fuzz::make_folder();
      fs::create_symlink(fs::path(PRUNE_TESTS_DIR "/golden/calibration") / name += ".json",
                         folder / "tokenizer.json");
      tokenizers.push_back(tokenizer::load_tokenizer(folder));
    }
    return tokenizers;
  }();
  if (size == 0) return 0;
  const tokenizer::Tokenizer& tokenizer = *kTokenizers[data[0] % kTokenizers.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  return fuzz::survive([&] {
    const std::vector<int64_t> ids = tokenizer.encode(text);
    for (const int64_t id : ids) {
      fuzz::require(id >= 0 && id < tokenizer.vocab_size(), "ids are below vocab_size");
    }
    fuzz::require(tokenizer.encode(text) == ids,
                  "encoding again, from the cache, gives the same ids");
    std::string streamed;
    tokenizer::TextStream stream(tokenizer);
    for (const int64_t id : ids) streamed += stream.push(id);
    fuzz::require(streamed + stream.finish() == tokenizer.decode(ids),
                  "a stream gives the text of all ids");
  });
}
