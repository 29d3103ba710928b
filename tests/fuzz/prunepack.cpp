// A .prunepack file: each listed tensor must load or be an error.
#include <prune/checkpoint/packed_checkpoint.h>

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  kFile.assign(data, size);
  return fuzz::survive([] {
    const auto file = checkpoint::open_prunepack(kFile.path());
    for (size_t i = 0; i < file->tensors().size(); ++i) {
      const checkpoint::TensorInfo& info = file->tensors()[i];
      const Tensor value = file->load(i);
      fuzz::require(value.sizes() == at::IntArrayRef(info.shape),
                    "a loaded tensor has the listed shape");
      fuzz::require(value.scalar_type() == info.dtype, "a loaded tensor has the listed dtype");
      fuzz::require(static_cast<int64_t>(value.nbytes()) == info.size_bytes,
                    "a loaded tensor has the listed size");
    }
  });
}
