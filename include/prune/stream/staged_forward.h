#pragma once

#include <prune/stream/hidden_states.h>

#include <optional>

namespace prune::stream {

/// Which inputs of a block are kept for all samples while its layers are replaced, and where.
struct KeptSites {
  int64_t width = 0;  ///< columns of the widest one; 0: none
  StatesPlace place = StatesPlace::kDevice;
};

/// All of them if the device has room; else the widest, the last layers' as a rule, is computed again when
/// it is needed, and the others are kept in the first place that has room.
/// @param linears of a block @param element_size bytes
KeptSites choose_kept_sites(const std::vector<models::LinearSpec>& linears, int64_t tokens,
                            int64_t element_size, at::Device device);

/// Takes all samples through a block one input at a time, so that the layers that read an input can be
/// replaced after its Hessian is there and before anything is made of their outputs: one forward a block.
/// An input that is not kept is computed again, to the same bits.
class StagedForward {
 public:
  /// @param stream of the samples; stays as it was until finish() but for what was kept
  /// @param linears of a block: the inputs that will have to be kept
  StagedForward(HiddenStates& stream, const std::vector<models::LinearSpec>& linears);
  /// The same with the sites to keep given.
  StagedForward(HiddenStates& stream, const KeptSites& kept);

  /// Begins with the next block; it must outlive the forward through it.
  void begin(const models::Block& block);
  /// Brings all samples in front of the readers of this input, shows it to the observer and keeps it.
  /// Inputs come in ascending order; some may be left out.
  void reach(int64_t site, models::BlockObserver& observer);
  /// Takes them behind the block: the stream is replaced.
  void finish();

 private:
  // The batch of samples from `first` on, from where it was kept to the readers of `input`.
  models::SiteActivations walk(int64_t first, const Tensor& stream, int64_t site) const;

  HiddenStates* stream_;
  const models::Block* block_ = nullptr;
  std::optional<BatchStore> store_;  // of the input kept, beside its stream
  int64_t position_ = 0;             // input kept; 0: none, the stream is in front of the block
  int64_t cols_ = 0;                 // of the input kept
};

}  // namespace prune::stream
