#include "run_blocks.h"

#include <prune/core/kill_point.h>
#include <prune/stream/walk.h>

namespace prune::evaluation {

std::vector<stream::HiddenStates> run_blocks(const models::Model& model,
                                             const std::vector<Tensor>& ids,
                                             const std::filesystem::path& scratch, int64_t batch,
                                             const std::string& phase, Progress& progress) {
  const stream::Walk blocks(model, phase, progress);
  std::vector<stream::HiddenStates> streams;
  {
    const auto embedding = model.load_embedding();
    for (const Tensor& tokens : ids) {
      streams.push_back(stream::HiddenStates::embed(*embedding, tokens, scratch, batch));
    }
  }
  model.drop_ends();
  for (const stream::LoadedBlock& block : blocks) {
    kill_point("before a block is evaluated");
    for (stream::HiddenStates& hidden : streams) hidden.advance(*block);
  }
  return streams;
}

}  // namespace prune::evaluation
