#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <map>
#include <string>
#include <vector>

#include "safetensors_header.h"

namespace prune::checkpoint {

/// Name and layout of one output shard; both follow from shapes and dtypes alone.
struct PlannedShard {
  std::string name;
  SafetensorsLayout layout;
};

/// Plans one shard per source weight file that still has a tensor, in the same sequence. The tensors in
/// `replaced` give way to their substitutes. The plan depends only on names, shapes and dtypes, so a
/// resumed run of the same source plans identical files.
/// @throws Error(output) as layout_safetensors().
std::vector<PlannedShard> plan_shards(
    const Checkpoint& source, const std::map<std::string, std::vector<TensorInfo>>& replaced,
    const std::string& extension);

/// Content of the index file (src/checkpoint/README.md, "Weight files and their index").
std::string index_text(const std::vector<PlannedShard>& shards);

}  // namespace prune::checkpoint
