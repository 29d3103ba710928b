#pragma once

#include <prune/models/model.h>

namespace prune::test {

/// Logits of token ids [samples, seqlen] by running the blocks one after the other.
inline Tensor logits_of(const models::Model& model, const Tensor& ids) {
  const auto ends = model.load_ends();
  Tensor hidden = ends->embed(ids);
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    hidden = model.load_block(block)->forward(hidden);
  }
  return ends->logits(hidden);
}

}  // namespace prune::test
