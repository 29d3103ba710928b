#pragma once

#include <prune/models/block.h>
#include <prune/models/family.h>

#include <string>
#include <vector>

namespace prune::models {

/// The distinct inputs of a block, in the order in which they come up: of the layers before attention, of
/// the one behind it, and of the feed-forward's first and last layers.
enum BlockSite : int64_t { kAttentionSite, kOutSite, kFfnSite, kDownSite };

/// What the blocks of all families have in common: their linear layers, run in sight of an observer.
class LinearBlock : public Block {
 public:
  std::vector<Linear>& linears() final { return linears_; }
  const std::vector<Linear>& linears() const final { return linears_; }

 protected:
  LinearBlock(const std::vector<LinearSpec>& specs, const WeightLoader& loader,
              const std::string& prefix);

  /// y = x Wᵀ + b of the layer at this position of the family's table.
  Tensor linear(size_t which, const Tensor& x, BlockObserver* observer) const;

 private:
  std::vector<Linear> linears_;
};

}  // namespace prune::models
