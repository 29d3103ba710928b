#pragma once

#include <prune/models/decoder_spec.h>
#include <prune/models/weight_loader.h>

#include <functional>
#include <memory>
#include <string>

namespace prune::models {

/// Mixes tokens by a recurrence. Its first and last layers belong to the block.
class Mixer {
 public:
  /// Runs the layer with this role on x.
  using Project = std::function<Tensor(Role role, const Tensor& x)>;

  virtual ~Mixer() = default;
  /// @param x      what the first layers read, [samples, tokens, hidden_size]
  /// @param state  of the tokens before; that of these tokens is added to it
  /// @return what the last layer reads, [samples, tokens, cols]
  virtual Tensor operator()(const Tensor& x, const Project& project, MixerState& state) const = 0;
};

/// @param prefix  of the block's tensors
/// @return nothing if the block has attention
std::unique_ptr<Mixer> make_mixer(const MixerSpec& spec, const WeightLoader& loader,
                                  const std::string& prefix, int64_t hidden_size);

}  // namespace prune::models
