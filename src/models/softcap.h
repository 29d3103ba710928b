#pragma once

#include <prune/core/tensor.h>

namespace prune::models {

/// cap · tanh(x / cap), in place except where the derivative needs the tanh.
inline Tensor capped_(Tensor x, double cap) {
  x.div_(cap).tanh_();
  return x.requires_grad() ? x.mul(cap) : x.mul_(cap);
}

}  // namespace prune::models
