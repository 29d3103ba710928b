// The pickle of a pytorch_model.bin with one storage of 64 bytes: opcodes, globals, tensor geometry, and
// loading every accepted tensor.
#include <prune/checkpoint/checkpoint.h>

#include "checkpoint/make_torch_bin.h"
#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  kFile.assign(test::torch_bin_bytes({reinterpret_cast<const char*>(data), size},
                                     {{"0", std::string(64, '\1')}}));
  return fuzz::survive([] {
    const auto file = checkpoint::open_torch_bin(kFile.path());
    for (size_t i = 0; i < file->tensors().size(); ++i) {
      // A stride of 0 repeats elements up to 256 MiB; loading many of those would only waste time.
      if (file->tensors()[i].size_bytes <= 4096) file->load(i).view(at::kByte).sum();
    }
  });
}
