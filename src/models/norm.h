#pragma once

#include <prune/models/decoder_spec.h>
#include <prune/models/weight_loader.h>

#include <string>

namespace prune::models {

/// Normalises the last dimension.
/// Sources: Ba et al. 2016 (arXiv 1607.06450), Zhang & Sennrich 2019 (arXiv 1910.07467).
struct Norm {
  NormSpec spec;
  Tensor weight;
  Tensor bias;

  Tensor operator()(const Tensor& x) const;
  /// What a normed x is multiplied by, [size].
  Tensor gain(int64_t size) const;
};

/// Loads `name`.weight and `name`.bias, as far as the norm has them, both [size].
Norm load_norm(const WeightLoader& loader, const NormSpec& spec, const std::string& name,
               int64_t size);

/// Norms of queries or keys, whose last dimensions are [heads, head_dim].
/// @param rows  number of heads
Norm load_qk_norm(const WeightLoader& loader, const AttentionSpec& attention,
                  const std::string& name, int64_t heads);

}  // namespace prune::models
