#include "run_blocks.h"

#include <prune/core/interrupt.h>
#include <prune/core/kill_point.h>

namespace prune::evaluation {

std::vector<models::HiddenStates> run_blocks(const models::Model& model,
                                             const std::vector<Tensor>& ids,
                                             const std::filesystem::path& scratch, int64_t batch,
                                             Progress& progress) {
  std::vector<models::HiddenStates> streams;
  {
    const auto embedding = model.load_embedding();
    for (const Tensor& tokens : ids) {
      streams.push_back(models::HiddenStates::embed(*embedding, tokens, scratch, batch));
    }
  }
  model.drop_ends();
  for (int64_t b = 0; b < model.config().blocks; ++b) {
    throw_if_interrupted();
    kill_point("before a block is evaluated");
    model.prefetch_block(b + 1);
    {
      const auto block = model.load_block(b);
      for (models::HiddenStates& stream : streams) stream.advance(*block);
    }
    model.drop_block(b);
    progress.advance();
  }
  return streams;
}

}  // namespace prune::evaluation
