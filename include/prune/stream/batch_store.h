#pragma once

#include <prune/core/scratch_file.h>
#include <prune/core/tensor.h>

#include <filesystem>
#include <memory>

namespace prune::stream {

/// Where activations of all samples lie while no batch of them is being worked on.
enum class StatesPlace {
  kDevice,
  kHost,  ///< host memory; the device sees one batch at a time
  kFile,  ///< a scratch file, of which one batch at a time is in memory
};

/// "device", "host memory", "a file".
const char* place_name(StatesPlace place);

/// The first place with room for so much beside what a block needs (DESIGN §4.1).
StatesPlace choose_place(int64_t size_bytes, at::Device device);

/// Room for an activation of every sample, [seqlen, cols] with cols up to a width, in one piece of memory.
class BatchStore {
 public:
  /// @param like of the activations: device and dtype
  /// @param scratch folder for a file, if that is the place
  /// @throws Error(output) when there is no room for the file.
  BatchStore(int64_t samples, int64_t seqlen, int64_t width, const at::TensorOptions& like,
             const std::filesystem::path& scratch, StatesPlace place);

  /// The room of these samples, [count, seqlen, cols]; not on the device if the place is another.
  Tensor batch(int64_t first, int64_t count, int64_t cols) const;
  /// Says that a batch is not needed for now, so that a file's need not stay in memory.
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
