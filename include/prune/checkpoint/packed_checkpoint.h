#pragma once

#include <prune/checkpoint/checkpoint_writer.h>

#include <filesystem>
#include <memory>
#include <vector>

// A packed checkpoint leaves the zeros out: for storage and transfer, and read here as any other. It is a
// folder with the source's config and tokenizer files and, for each weight file, a safetensors container
// `model.prunepack` (or `model-00001-of-00002.prunepack`, ..., with `model.prunepack.index.json`). A tensor
// N that gets smaller this way is stored as three:
//
//   N.pack_mask   uint8, one bit an element, the first in the lowest bit: 1 = the element is kept
//   N.pack_kept   the kept elements in row-major order
//   N.pack_shape  int64, N's shape
//
// Of floating-point tensors all elements but +0 are kept, in N's dtype. For `X.weight_packed` of a
// pack-quantized weight (pack_quantized.h) an element is a code: those other than the group's zero point
// are kept, wbits each, packed as uint8, and the shape is rows, columns, wbits.
namespace prune::checkpoint {

/// Opens a .prunepack file and shows the tensors that were packed.
/// @throws Error(input) as open_safetensors(), and naming the tensor whose parts do not fit together; on
///         load() when its mask does not count what is kept.
std::unique_ptr<TensorFile> open_prunepack(const std::filesystem::path& path);

struct Repacked {
  int64_t source_bytes = 0;  ///< of the weight files
  int64_t output_bytes = 0;
  std::vector<WrittenFile> files;
};

/// Writes the checkpoint in `source` packed. The report and the statistics of a run come along.
/// @throws Error(input): it is packed already, as Checkpoint::open; Error(output) as CheckpointWriter.
Repacked pack_checkpoint(const std::filesystem::path& source, const std::filesystem::path& output,
                         bool overwrite);

/// The reverse: every tensor byte for byte, in safetensors files.
Repacked unpack_checkpoint(const std::filesystem::path& source, const std::filesystem::path& output,
                           bool overwrite);

}  // namespace prune::checkpoint
