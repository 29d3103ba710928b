// tokenizer.json: a tokenizer that opens must encode a text with many kinds of characters and decode its ids.
#include <prune/core/utf8.h>
#include <prune/tokenizer/tokenizer.h>

#include "fuzz/fuzz.h"

using namespace prune;
namespace fs = std::filesystem;

constexpr std::string_view kText =
    "I like  </s> you're 12345 caf\xC3\xA9 na\xC3\xAFve\n\t\xE6\x97\xA5\xE6\x9C\xAC "
    "\xF0\x9F\x98\x80 \xE2\x96\x81 <0x41> [X]sep<|endoftext|> \xFF\xC3 aaaaaaaaaaaaaaaaaaaaaaaa   ";

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  static const fs::path kFolder = [] {
    const fs::path folder = fuzz::make_folder();
    fs::create_symlink(kFile.path(), folder / "tokenizer.json");
    return folder;
  }();
  kFile.assign(data, size);
  return fuzz::survive([] {
    const auto tokenizer = tokenizer::load_tokenizer(kFolder);
    const std::string text = tokenizer->decode(tokenizer->encode(kText), false);
    fuzz::require(first_invalid_utf8(text) == text.size(), "decoded text is valid UTF-8");
  });
}
