#include <prune/core/error.h>

#include "mapped_tensor.h"
#include "mapped_tensor_file.h"
#include "not_weights.h"
#include "safetensors_header.h"

namespace prune::checkpoint {

std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  std::vector<MappedTensor> tensors;
  SafetensorsHeader header;
  try {
    reject_placeholder(file->bytes());
    header = parse_safetensors_header(file->bytes());
    for (PlacedTensor& tensor : header.tensors) {
      tensors.push_back({.info = tensor.info,
                         .offset = tensor.offset,
                         .extent_bytes = tensor.info.size_bytes,
                         .strides = contiguous_strides(tensor.info.shape)});
    }
  } catch (Error& e) {
    throw e.in(path.string());
  }
  return std::make_unique<MappedTensorFile>(std::move(file), std::move(tensors),
                                            std::move(header.metadata));
}

}  // namespace prune::checkpoint
