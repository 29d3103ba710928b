#pragma once

#include <functional>

#include "run.h"

namespace prune::pipeline {

/// Samples that blocks are measured on, and how many blocks are measured again after each removal.
int64_t samples_for_blocks(int64_t samples, int64_t seqlen);
int64_t blocks_measured_again(int64_t blocks);

/// Removes blocks one after the other: always the one without which the model loses least on calibration text. Every
/// block is measured before the first removal; after each, only those that were cheapest before.
/// @param count  blocks to remove, fewer than the model has
/// @param report  what is known so far
/// @param record  is called after each removal
void choose_blocks_(const journal::RunInputs& inputs, const PruneOptions& options, int64_t count,
                    const std::filesystem::path& scratch, report::BlocksReport& report,
                    const std::function<void()>& record, dist::Communicator& comm,
                    Progress& progress);

}  // namespace prune::pipeline
