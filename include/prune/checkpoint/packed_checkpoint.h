#pragma once

#include <prune/checkpoint/checkpoint_writer.h>

#include <filesystem>
#include <memory>
#include <vector>

// A packed checkpoint omits zeros, for storage and transfer (src/checkpoint/README.md, "prunepack").
// Checkpoint::open() reads it like any other. Each weight file is a safetensors container `model.prunepack`
// (or `model-00001-of-00002.prunepack`, ... with `model.prunepack.index.json`), beside the source's config
// and tokenizer files. A tensor N that becomes smaller is stored as three tensors:
//
//   N.pack_mask   uint8, one bit per element, the first in the lowest bit; 1 = kept
//   N.pack_kept   the kept elements in row-major order
//   N.pack_shape  int64, shape of N
//
// A floating-point tensor keeps every element except +0, in its own dtype. In `X.weight_packed` of a
// pack-quantized weight (pack_quantized.h) an element is a code: codes that differ from the group's zero
// point are kept, wbits each, packed as uint8; pack_shape is rows, columns, wbits.
namespace prune::checkpoint {

/// Opens a .prunepack file and presents the original tensors.
/// @throws Error(input) as open_safetensors(), or with the tensor whose parts do not match; load() throws
///         if the mask's count of kept elements differs from the number stored.
std::unique_ptr<TensorFile> open_prunepack(const std::filesystem::path& path);

/// True if its weight files are .prunepack files.
bool is_packed(const Checkpoint& source);

struct Repacked {
  int64_t source_bytes = 0;  ///< total size of the source's weight files
  int64_t output_bytes = 0;  ///< total size of the output's weight files
  std::vector<WrittenFile> files;
};

/// Writes the checkpoint in folder `source` in packed form. A run's report and statistics are copied too.
/// @throws Error(input) if it is already packed or as Checkpoint::open(); Error(output) as CheckpointWriter.
Repacked pack_checkpoint(const std::filesystem::path& source, const std::filesystem::path& output,
                         bool overwrite);

/// Inverse of pack_checkpoint(): restores every tensor byte for byte, in safetensors files.
Repacked unpack_checkpoint(const std::filesystem::path& source, const std::filesystem::path& output,
                           bool overwrite);

}  // namespace prune::checkpoint
