// The header of a safetensors file: tensors of an accepted header fill the data section without gaps.
#include "safetensors_header.h"

#include <c10/core/ScalarType.h>

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::survive([&] {
    int64_t end = -1;
    const auto header = checkpoint::parse_safetensors_header(fuzz::bytes_of(data, size));
    for (const auto& [info, offset] : header.tensors) {
      int64_t bytes = static_cast<int64_t>(c10::elementSize(info.dtype));
      for (const int64_t length : info.shape) bytes *= length;
      fuzz::require(bytes == info.size_bytes, "size and shape agree");
      fuzz::require(end < 0 || offset == end, "no holes, no overlaps");
      end = offset + info.size_bytes;
    }
    fuzz::require(end < 0 || end == static_cast<int64_t>(size), "the last tensor ends the file");
  });
}
