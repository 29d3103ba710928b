// A safetensors file of quantized weights, after a byte that chooses the format: what is accepted is dequantized.
#include <prune/checkpoint/checkpoint.h>

#include <array>

#include "fuzz/fuzz.h"

using namespace prune;
namespace fs = std::filesystem;
using checkpoint::WeightFormat;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using Kind = WeightFormat::Kind;
  static const std::array<WeightFormat, 6> kFormats = {{
      {.kind = Kind::kPackQuantized, .quantization = {.wbits = 4, .group_size = 32}},
      {.kind = Kind::kFp8, .block_rows = 16, .block_cols = 32},
      {.kind = Kind::kMxfp4},
      {.kind = Kind::kNvfp4Packed},
      {.kind = Kind::kMxfp4Packed},
      {.kind = Kind::kMxfp8Quantized},
  }};
  static const fuzz::MemoryFile kFile;
  static const fs::path kFolder = [] {
    const fs::path folder = fuzz::make_folder();
    fs::create_symlink(kFile.path(), folder / "model.safetensors");
    return folder;
  }();
  if (size == 0) return 0;
  kFile.assign(data + 1, size - 1);
  return fuzz::survive([&] {
    auto source = checkpoint::Checkpoint::open(kFolder);
    source.dequantize(kFormats.at(data[0] % kFormats.size()));
    for (const std::string& name : source.names()) {
      if (!source.is_quantized(name)) continue;
      const checkpoint::TensorInfo& info = source.info(name);
      const Tensor value = source.load(name);
      fuzz::require(value.sizes() == at::IntArrayRef(info.shape),
                    "a dequantized weight has the listed shape");
      fuzz::require(value.scalar_type() == info.dtype, "a dequantized weight has the listed dtype");
      for (const checkpoint::TensorRef& piece : source.pieces(name)) source.load(piece);
    }
  });
}
