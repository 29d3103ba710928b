#pragma once

#include <prune/stream/expert_forward.h>

#include <map>
#include <optional>
#include <vector>

namespace prune::stream {

/// Which sites of a block are kept for all samples while its layers are replaced, and where.
struct KeptSites {
  int64_t width = 0;  ///< sites of up to this many columns are kept; 0: none
  StatesPlace place = StatesPlace::kDevice;
};

/// Keeps the widest sites that fit on the device, and all narrower ones. If none fits, the widest
/// of several (usually that of the last layers) is recomputed when needed, and the others are kept
/// in the first place with enough room.
/// @param model  whose blocks of all kinds are run
/// @param tokens  of all samples
/// @param element_size bytes
KeptSites choose_kept_sites(const models::DecoderSpec& model, int64_t tokens, int64_t element_size,
                            at::Device device);

/// Runs all samples through a block site by site: each site's readers can be replaced after its
/// Hessian is complete and before they run. That costs one forward a block. A site that is not kept
/// is recomputed, to the same bits.
class StagedForward {
 public:
  /// @param stream of the samples; finish() replaces it, and reach() may already update it where a
  ///        site is kept
  /// @param model  its blocks determine the storage for kept sites
  StagedForward(HiddenStates& stream, const models::DecoderSpec& model,
                ExpertTokens tokens = ExpertTokens::kShrunk);
  /// The same with the sites to keep given.
  StagedForward(HiddenStates& stream, const KeptSites& kept,
                ExpertTokens tokens = ExpertTokens::kShrunk);

  /// Starts a block. It must live until finish().
  void begin(const models::Block& block);
  /// Runs all samples up to the readers of a site, shows it to the observer and keeps it if there is room. Sites must
  /// ascend; some may be skipped.
  /// @param sites one, or those of several experts: ExpertForward::reach()
  void reach(const std::vector<int64_t>& sites, models::BlockObserver& observer);
  /// Runs the remaining layers; the stream now holds the block's output.
  void finish();

 private:
  // Runs the batch that begins with sample `first` from the kept site up to the readers of `site`, or through all of
  // them.
  models::SiteActivations walk(int64_t first, const Tensor& stream, int64_t site) const;
  void enter_experts();

  HiddenStates* stream_;
  const models::Block* block_ = nullptr;
  ExpertTokens tokens_;
  std::optional<ExpertForward> experts_;  // once the experts are reached
  std::optional<BatchStore> store_;       // the kept site's activations; the stream is beside it
  std::map<int64_t, Tensor> besides_;     // of the kept site, by the first sample of the batch
  int64_t position_ = 0;  // the kept site; 0: none, the stream is still that before the block
  int64_t cols_ = 0;      // of the kept site
};

}  // namespace prune::stream
