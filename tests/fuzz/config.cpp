// config.json beside the weights of a tiny LLaMA; seeds cover every family. A model that opens must run.
#include <ATen/Parallel.h>
#include <prune/models/model.h>

#include "fuzz/fuzz.h"

using namespace prune;
namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kConfig;
  static const fs::path kFolder = [] {
    at::set_num_threads(1);
    const fs::path folder = fuzz::make_folder();
    fs::create_symlink(kConfig.path(), folder / "config.json");
    fs::create_symlink(PRUNE_TESTS_DIR "/golden/models/llama.safetensors",
                       folder / "model.safetensors");
    return folder;
  }();
  kConfig.assign(data, size);
  return fuzz::survive([] {
    const auto model = models::Model::open(kFolder, {});
    const at::InferenceMode no_gradients;
    const Tensor ids = at::arange(4, at::kLong).view({1, 4});
    const Tensor hidden = model.load_block(0)->forward(model.load_embedding()->embed(ids), nullptr);
    fuzz::require(model.load_head()->logits(hidden).size(-1) == model.config().vocab_size,
                  "a model that opens gives logits");
  });
}
