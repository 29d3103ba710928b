#pragma once

#include <prune/core/scratch_file.h>
#include <prune/core/tensor.h>

#include <filesystem>
#include <memory>

namespace prune::stream {

/// Where the activations of all samples lie between uses.
enum class StatesPlace {
  kDevice,
  kHost,  ///< host memory; the device sees one batch at a time
  kFile,  ///< a scratch file; one batch at a time is in memory
};

/// "device", "host memory", "a file".
const char* place_name(StatesPlace place);

/// The first place with enough room: src/stream/README.md, "Where activations lie".
StatesPlace choose_place(int64_t size_bytes, at::Device device);

/// Stores activations [seqlen, cols] of every sample, cols up to a width, in one piece of memory.
class BatchStore {
 public:
  /// @param like device and dtype of the activations
  /// @param scratch folder of the file, for StatesPlace::kFile
  /// @throws Error(output) if the file does not fit on the disk.
  BatchStore(int64_t samples, int64_t seqlen, int64_t width, const at::TensorOptions& like,
             const std::filesystem::path& scratch, StatesPlace place);

  /// A view of these samples' storage, [count, seqlen, cols]; on the device only with kDevice.
  Tensor batch(int64_t first, int64_t count, int64_t cols) const;
  /// Replaces the storage of a batch. @param x [count, seqlen, cols]
  void put(int64_t first, const Tensor& x) const;
  /// Lets a file-backed batch leave memory until it is read again.
  void release(const Tensor& batch) const;

  StatesPlace place() const { return place_; }
  int64_t width() const { return width_; }
  int64_t size_bytes() const { return elements_.numel() * elements_.element_size(); }

 private:
  StatesPlace place_;
  int64_t seqlen_;
  int64_t width_;
  std::unique_ptr<ScratchFile> file_;
  Tensor elements_;  // [samples * seqlen * width]
};

}  // namespace prune::stream
