#pragma once

#include <prune/models/block.h>
#include <prune/models/decoder_spec.h>
#include <prune/models/weight_loader.h>

#include <optional>
#include <string>

#include "norm.h"

namespace prune::models {

/// Chooses the experts of each token: src/models/README.md, "Experts".
class Router {
 public:
  /// @param prefix of the block's tensors
  Router(const RouterSpec& spec, const WeightLoader& loader, const std::string& prefix,
         int64_t hidden_size);

  /// @param input [tokens, hidden_size]: what experts read, or the stream if the router norms it itself
  Routes operator()(const Tensor& input) const;

 private:
  RouterSpec spec_;
  Tensor weight_;      // [experts, hidden_size], float32 if the logits are computed in it
  Tensor bias_;        // [experts] or undefined
  Tensor correction_;  // [experts] float32 or undefined
  std::optional<Norm> input_norm_;
  Tensor expert_scale_;  // [experts] or undefined
};

}  // namespace prune::models
