#pragma once

#include <prune/models/block.h>
#include <prune/models/family.h>

#include <string>
#include <vector>

namespace prune::models {

/// The sites of a block in the order of a forward: read by the layers before attention, by the one
/// after it, and by the feed-forward's first and last layers.
enum BlockSite : int64_t { kAttentionSite, kOutSite, kFfnSite, kDownSite };

/// Base of all families' blocks: holds the linear layers and shows their outputs to the observer.
class LinearBlock : public Block {
 public:
  std::vector<Linear>& linears() final { return linears_; }
  const std::vector<Linear>& linears() const final { return linears_; }

 protected:
  LinearBlock(const std::vector<LinearSpec>& specs, const WeightLoader& loader,
              const std::string& prefix);

  /// y = x Wᵀ + b of the layer at this index of the family's table.
  Tensor linear(size_t index, const Tensor& x, BlockObserver* observer) const;

 private:
  std::vector<Linear> linears_;
};

}  // namespace prune::models
