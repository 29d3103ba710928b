#pragma once

#include <prune/models/block.h>
#include <prune/models/decoder_spec.h>
#include <prune/models/weight_loader.h>

#include <string>

namespace prune::models {

/// Chooses the experts of each token: src/models/README.md, "Experts".
class Router {
 public:
  /// @param prefix of the block's tensors
  Router(const RouterSpec& spec, const WeightLoader& loader, const std::string& prefix,
         int64_t hidden_size);

  /// @param x [tokens, hidden_size]
  Routes operator()(const Tensor& x) const;

 private:
  RouterSpec spec_;
  Tensor weight_;      // [experts, hidden_size], float32 if the logits are computed in it
  Tensor bias_;        // [experts] or undefined
  Tensor correction_;  // [experts] float32 or undefined
};

}  // namespace prune::models
