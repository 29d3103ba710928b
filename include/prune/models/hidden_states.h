#pragma once

#include <prune/core/scratch_file.h>
#include <prune/models/block.h>
#include <prune/models/family.h>

#include <filesystem>
#include <functional>
#include <memory>

namespace prune::models {

/// Where the residual stream lies while no batch of it is being worked on.
enum class StatesPlace {
  kDevice,
  kHost,  ///< host memory; the device sees one batch at a time
  kFile,  ///< a scratch file, of which one batch at a time is in memory
};

/// "device", "host memory", "a file".
const char* place_name(StatesPlace place);

/// The first place with room for a stream of this size beside what a block needs (DESIGN §4.1).
StatesPlace choose_place(int64_t size_bytes, at::Device device);

/// Samples that run through a block at once: a batch.
int64_t batch_samples(int64_t seqlen, bool on_cuda);

/// The residual stream of all samples between two blocks, [samples, seqlen, hidden_size] in the
/// computing dtype. It is updated in place, batch by batch, so there is never a second copy.
class HiddenStates {
 public:
  /// The stream before the first block, in the first place that has room.
  /// @param ids [samples, seqlen] int64, one sample at least
  /// @param scratch folder for a file, if it comes to that
  /// @param batch samples that run through a block at once; 0: batch_samples(). A sample's numbers depend
  ///        on it in their last bits, as a matrix product's do on its shape.
  /// @throws Error(output) when there is no room for the file either.
  static HiddenStates embed(const Embedding& embedding, const Tensor& ids,
                            const std::filesystem::path& scratch, int64_t batch = 0);
  static HiddenStates embed(const Embedding& embedding, const Tensor& ids,
                            const std::filesystem::path& scratch, StatesPlace place,
                            int64_t batch = 0);

  /// Replaces the stream by what the block makes of it.
  void advance(const Block& block, BlockObserver* observer = nullptr);
  /// Runs the block for the observer's sake only; the stream stays as it is. An observer that does not
  /// want the result spares the block's last layer.
  void observe(const Block& block, BlockObserver& observer) const;
  /// Calls `visit` with consecutive batches [samples, seqlen, hidden_size], on the device, and the
  /// first one's index.
  void for_each_batch(const std::function<void(int64_t first, const Tensor& batch)>& visit) const;

  /// |x|² of every token, [samples * seqlen] float32 on the device.
  Tensor energies() const;

  int64_t samples() const { return states_.size(0); }
  int64_t size_bytes() const { return states_.numel() * states_.element_size(); }
  StatesPlace place() const { return place_; }

 private:
  HiddenStates(at::IntArrayRef shape, const Tensor& like, const std::filesystem::path& scratch,
               StatesPlace place, int64_t batch);
  Tensor stored_batch(int64_t first) const;
  void release(const Tensor& stored) const;

  StatesPlace place_;
  int64_t batch_;
  at::Device device_;
  std::unique_ptr<ScratchFile> file_;
  Tensor states_;
};

}  // namespace prune::models
