#include "mapped_tensor_file.h"

#include <algorithm>

#include "mapped_tensor.h"

namespace prune::checkpoint {

MappedTensorFile::MappedTensorFile(std::shared_ptr<const MappedFile> file,
                                   std::vector<MappedTensor> tensors,
                                   std::map<std::string, std::string> metadata)
    : file_(std::move(file)), tensors_(std::move(tensors)), metadata_(std::move(metadata)) {
  std::ranges::stable_sort(tensors_, {}, &MappedTensor::offset);
  for (const MappedTensor& tensor : tensors_) infos_.push_back(tensor.info);
}

Tensor MappedTensorFile::load(size_t position) const {
  const MappedTensor& tensor = tensors_.at(position);
  return tensor_of_mapping(file_, tensor.offset, tensor.info.shape, tensor.strides,
                           tensor.info.dtype);
}

void MappedTensorFile::prefetch(size_t position) const {
  const MappedTensor& tensor = tensors_.at(position);
  file_->will_need(tensor.offset, tensor.extent_bytes);
}

void MappedTensorFile::drop(size_t position) const {
  const MappedTensor& tensor = tensors_.at(position);
  file_->drop(tensor.offset, tensor.extent_bytes);
}

}  // namespace prune::checkpoint
