// Texts of any compression, encoding and form of rows; Parquet is Arrow's.
#include <prune/calibration/text_source.h>
#include <prune/core/utf8.h>

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  static const std::filesystem::path kFolder = [] {
    std::filesystem::path folder = fuzz::make_folder();
    for (const char* name : {"a.txt", "a.jsonl", "a.json"}) {
      std::filesystem::create_symlink(kFile.path(), folder / name);
    }
    return folder;
  }();
  kFile.assign(data, size);
  for (const char* name : {"a.txt", "a.jsonl", "a.json"}) {
    fuzz::survive([&] {
      for (const std::string& text : calibration::load_text(kFolder / name).documents) {
        fuzz::require(first_invalid_utf8(text) == text.size(), "a text is valid UTF-8");
      }
    });
  }
  return 0;
}
