#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/core/mapped_file.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Location of a tensor in a mapped file.
struct MappedTensor {
  TensorInfo info;
  int64_t offset = 0;            ///< byte of the file where element 0 begins
  int64_t extent_bytes = 0;      ///< from `offset` to the end of the last element
  std::vector<int64_t> strides;  ///< in elements
};

/// A weight file of either format, after its directory was read and checked.
class MappedTensorFile final : public TensorFile {
 public:
  /// Sorts the tensors by data offset.
  MappedTensorFile(std::shared_ptr<const MappedFile> file, std::vector<MappedTensor> tensors,
                   std::map<std::string, std::string> metadata = {});

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  Tensor load(size_t position) const override;
  void prefetch(size_t position) const override;
  void drop(size_t position) const override;

 private:
  std::shared_ptr<const MappedFile> file_;
  std::vector<MappedTensor> tensors_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace prune::checkpoint
