#pragma once

#include <prune/models/block.h>
#include <prune/models/family.h>

#include <string>
#include <vector>

namespace prune::models {

/// What the blocks of all families have in common: their linear layers, run in sight of an observer.
class LinearBlock : public Block {
 public:
  std::vector<Linear>& linears() final { return linears_; }

 protected:
  LinearBlock(const std::vector<LinearSpec>& specs, const WeightLoader& loader,
              const std::string& prefix);

  /// y = x Wᵀ + b of the layer at this position of the family's table. The first layer that reads an
  /// input shows it to the observer, so it has to run before the others that read it.
  Tensor linear(size_t which, const Tensor& x, BlockObserver* observer) const;

 private:
  std::vector<Linear> linears_;
};

}  // namespace prune::models
