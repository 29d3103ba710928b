// model.safetensors.index.json in a folder with two shards: no accepted shard name leads out of the folder.
#include "shard_index.h"

#include <algorithm>
#include <fstream>

#include "fuzz/fuzz.h"

using namespace prune;
namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kIndex;
  static const fs::path kFolder = [] {
    const fs::path folder = fuzz::make_folder();
    fs::create_symlink(kIndex.path(), folder / "model.safetensors.index.json");
    fs::create_directory(folder / "x");
    for (const char* shard : {"1.st", "x/2.st"}) std::ofstream(folder / shard).put('\n');
    return folder;
  }();
  kIndex.assign(data, size);
  return fuzz::survive([] {
    const checkpoint::WeightFiles files = checkpoint::find_weight_files(kFolder);
    fuzz::require(!files.names.empty() && !files.weight_map.empty(), "an index names shards");
    for (const fs::path name : files.names) {
      fuzz::require(name.is_relative() && std::ranges::find(name, "..") == name.end(),
                    "shards lie in the folder");
    }
  });
}
