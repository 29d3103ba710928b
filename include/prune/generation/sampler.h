#pragma once

#include <prune/core/tensor.h>

#include <cstdint>
#include <random>

namespace prune::generation {

/// How the next token is chosen.
struct Sampling {
  double temperature = 0.0;  ///< logits are divided by it; 0: the most probable token
  /// Only the most probable tokens count, as many as reach this probability (Holtzman et al. 2020, arXiv 1904.09751).
  double top_p = 1.0;
  uint64_t seed = 0;
};

/// Chooses tokens. The same seed gives the same choices from the same logits.
class Sampler {
 public:
  explicit Sampler(const Sampling& sampling);

  /// @param logits [vocab_size] of any float dtype
  /// @throws Error(numeric) if they are not finite
  int64_t operator()(const Tensor& logits);

 private:
  Sampling sampling_;
  std::mt19937_64 random_;
};

}  // namespace prune::generation
