#pragma once

#include <prune/models/block.h>
#include <prune/models/family.h>
#include <prune/stream/batch_store.h>

#include <functional>

namespace prune::stream {

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
  static HiddenStates embed(const models::Embedding& embedding, const Tensor& ids,
                            const std::filesystem::path& scratch, int64_t batch = 0);
  static HiddenStates embed(const models::Embedding& embedding, const Tensor& ids,
                            const std::filesystem::path& scratch, StatesPlace place,
                            int64_t batch = 0);

  /// Replaces the stream by what the block makes of it.
  void advance(const models::Block& block, models::BlockObserver* observer = nullptr);
  /// Shows the observer every input of the block; the stream stays as it is, and the last layers' outputs
  /// are not computed.
  void observe(const models::Block& block, models::BlockObserver& observer) const;
  /// Calls `visit` with consecutive batches [samples, seqlen, hidden_size], on the device, and the
  /// first one's index.
  void for_each_batch(const std::function<void(int64_t first, const Tensor& batch)>& visit) const;
  /// Replaces the stream of a batch that for_each_batch() showed.
  void replace_batch(int64_t first, const Tensor& stream);

  /// |x|² of every token, [samples * seqlen] float32 on the device.
  Tensor energies() const;

  int64_t samples() const { return samples_; }
  int64_t seqlen() const { return seqlen_; }
  int64_t size_bytes() const { return store_.size_bytes(); }
  StatesPlace place() const { return store_.place(); }
  at::TensorOptions options() const { return options_; }
  const std::filesystem::path& scratch() const { return scratch_; }

 private:
  HiddenStates(const Tensor& ids, const Tensor& like, const std::filesystem::path& scratch,
               StatesPlace place, int64_t batch);
  Tensor stored_batch(int64_t first) const;

  int64_t samples_;
  int64_t seqlen_;
  int64_t batch_;
  at::TensorOptions options_;
  std::filesystem::path scratch_;
  BatchStore store_;
};

}  // namespace prune::stream
