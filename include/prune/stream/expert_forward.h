#pragma once

#include <prune/models/decoder_spec.h>
#include <prune/stream/hidden_states.h>

#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace prune::stream {

/// How many experts of a block with these layers are in memory at once; 0 if it has none.
int64_t experts_at_once(const std::vector<models::LinearSpec>& layers);

/// Runs all samples through the experts of a block one after the other, so that the layers of an expert can be replaced
/// after their Hessians are complete and before they run. Outputs are added in the sequence of the experts.
class ExpertForward {
 public:
  /// Gives the state before the experts of the batch that begins with sample `first`.
  using Before = std::function<models::SiteActivations(int64_t first, const Tensor& stream)>;

  /// Runs all samples up to the experts. @param block must live until finish()
  ExpertForward(HiddenStates& stream, const models::Block& block, ExpertTokens tokens,
                const Before& before);

  /// Adds the outputs of the experts before these and shows the sites to the observer: of experts that follow each
  /// other, either the first layers' or the last layers'. Experts ascend.
  void reach(const std::vector<int64_t>& sites, models::BlockObserver& observer);
  /// Runs the remaining experts; the stream now holds the block's output.
  void finish(models::BlockObserver* observer = nullptr);

 private:
  void run_until(int64_t expert, models::BlockObserver* observer);
  void run(int64_t first_expert, int64_t end, models::BlockObserver* observer);
  models::SiteActivations paused(int64_t first, const Tensor& stream) const;
  Tensor sum_of(int64_t first, const Tensor& stream) const;
  void show(int64_t site, const models::SiteActivations& at, models::BlockObserver& observer) const;
  // H = H_routed + λ H_all routed / all, λ = cols / (cols + routed), H_all from about as many tokens as columns.
  void shrink_(int64_t site, models::ExpertRows& rows, const models::SiteActivations& at) const;

  HiddenStates* stream_;
  const models::Block* block_;
  ExpertTokens tokens_;
  std::optional<BatchStore> sums_;  // SiteActivations::sum of all samples
  models::ExpertLoad load_;
  bool knows_load_ = false;
  std::map<int64_t, models::Routes> routes_;  // by the first sample of the batch
  int64_t next_ = 0;                          // expert
};

}  // namespace prune::stream
