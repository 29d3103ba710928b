#pragma once

#include <prune/models/model.h>

namespace prune::test {

/// Logits of token ids [samples, seqlen], block by block.
inline Tensor logits_of(const models::Model& model, const Tensor& ids) {
  Tensor hidden = model.load_embedding()->embed(ids);
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    hidden = model.load_block(block)->forward(hidden);
  }
  return model.load_head()->logits(hidden);
}

}  // namespace prune::test
