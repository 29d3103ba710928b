#pragma once

#include <prune/core/progress.h>
#include <prune/models/hidden_states.h>
#include <prune/models/model.h>

#include <filesystem>
#include <vector>

namespace prune::evaluation {

/// Embeds these tokens and runs them through all blocks, each of which is loaded once.
/// @param ids each [samples, seqlen] int64 @param batch as of HiddenStates::embed
std::vector<models::HiddenStates> run_blocks(const models::Model& model,
                                             const std::vector<Tensor>& ids,
                                             const std::filesystem::path& scratch, int64_t batch,
                                             Progress& progress);

}  // namespace prune::evaluation
