#pragma once

#include <prune/models/block.h>
#include <prune/models/ends.h>
#include <prune/stream/batch_store.h>

#include <functional>

namespace prune::stream {

class ExpertForward;

/// Which tokens an expert's Hessians are of.
enum class ExpertTokens {
  kRouted,  ///< those that the router sends to it
  kShrunk,  ///< the same; an expert with fewer tokens than columns also sees some of the others
  kAll,     ///< all, as llm-compressor does
};

/// Samples in a batch, which runs through a block at once; at least 1.
int64_t batch_samples(int64_t seqlen, bool on_cuda);

/// The residual stream of all samples between two blocks, [samples, seqlen, stream_size] in the
/// computing dtype. It is updated in place, batch by batch, so there is only one copy.
class HiddenStates {
 public:
  /// The stream before the first block, in the first place with enough room, or in `place`.
  /// @param ids [samples, seqlen] int64, at least one sample
  /// @param scratch folder of the file, if it is needed
  /// @param batch samples in a batch; 0: batch_samples(). The last bits of the stream depend on it,
  ///        because those of a matrix product depend on its shape.
  /// @throws Error(output) if the file does not fit on the disk.
  static HiddenStates embed(const models::Embedding& embedding, const Tensor& ids,
                            const std::filesystem::path& scratch, int64_t batch = 0);
  static HiddenStates embed(const models::Embedding& embedding, const Tensor& ids,
                            const std::filesystem::path& scratch, StatesPlace place,
                            int64_t batch = 0);

  /// Runs the block; the stream now holds its output.
  void advance(const models::Block& block, models::BlockObserver* observer = nullptr);
  /// Runs a block with experts up to them.
  ExpertForward before_experts(const models::Block& block, ExpertTokens tokens,
                               models::BlockObserver* observer = nullptr);
  /// Shows every site of the block to the observer. The stream stays as it is, and the last layers
  /// do not run.
  void observe(const models::Block& block, models::BlockObserver& observer) const;
  /// Calls `visit` for all batches in turn.
  /// @param visit gets the index of the batch's first sample and the batch
  ///        [samples, seqlen, stream_size] on the device
  void for_each_batch(const std::function<void(int64_t first, const Tensor& batch)>& visit) const;
  /// The stream of one sample, [1, seqlen, stream_size] on the device.
  Tensor sample(int64_t number) const;
  /// A copy, in the first place with enough room.
  HiddenStates copy() const;
  /// Replaces the stream of the batch that begins with sample `first`.
  void replace_batch(int64_t first, const Tensor& stream);

  /// |x|² of every token, [samples * seqlen] float32 on the device.
  Tensor energies() const;

  int64_t samples() const { return samples_; }
  int64_t seqlen() const { return seqlen_; }
  int64_t width() const { return store_.width(); }
  int64_t size_bytes() const { return store_.size_bytes(); }
  StatesPlace place() const { return store_.place(); }
  at::TensorOptions options() const { return options_; }
  const std::filesystem::path& scratch() const { return scratch_; }

 private:
  HiddenStates(const Tensor& ids, const Tensor& like, const std::filesystem::path& scratch,
               StatesPlace place, int64_t batch);
  HiddenStates(const HiddenStates& like, StatesPlace place);
  Tensor stored_batch(int64_t first) const;

  int64_t samples_;
  int64_t seqlen_;
  int64_t batch_;
  at::TensorOptions options_;
  std::filesystem::path scratch_;
  BatchStore store_;
};

}  // namespace prune::stream
