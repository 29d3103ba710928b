// A schedule file for a model with three layers.
#include <prune/schedule/schedule.h>

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  static const std::vector<schedule::LayerInput> kLayers = {
      {.name = "a", .weights = 10}, {.name = "b", .weights = 1}, {.name = "c", .weights = 1 << 20}};
  kFile.assign(data, size);
  return fuzz::survive([] {
    const auto read = schedule::read_schedule(kFile.path(), kLayers);
    fuzz::require(read.layers.size() == kLayers.size(), "every layer has a sparsity");
    for (const auto& layer : read.layers) {
      fuzz::require(layer.zeros >= 0 && layer.zeros <= layer.weights, "0 <= zeros <= weights");
    }
    schedule::schedule_json(read).dump();
  });
}
