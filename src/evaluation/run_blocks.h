#pragma once

#include <prune/core/progress.h>
#include <prune/models/model.h>
#include <prune/stream/hidden_states.h>

#include <filesystem>
#include <string>
#include <vector>

namespace prune::evaluation {

/// Embeds each set of tokens and runs it through all blocks; each block is loaded once.
/// @param ids    each [samples, seqlen] int64
/// @param batch  samples per forward, as in HiddenStates::embed()
/// @param phase  as in stream::Walk
/// @return the hidden states after the last block, one per element of `ids`
std::vector<stream::HiddenStates> run_blocks(const models::Model& model,
                                             const std::vector<Tensor>& ids,
                                             const std::filesystem::path& scratch, int64_t batch,
                                             const std::string& phase, Progress& progress);

}  // namespace prune::evaluation
