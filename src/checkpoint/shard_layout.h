#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <map>
#include <string>
#include <vector>

#include "safetensors_header.h"

namespace prune::checkpoint {

/// One output shard, known to the byte before any weight is.
struct PlannedShard {
  std::string name;
  SafetensorsLayout layout;
};

/// One shard for each weight file of the source that holds a tensor, in that order, with what takes the
/// place of `replaced` tensors. It depends on
/// nothing but names, shapes and dtypes, so a later run of the same source plans the same bytes.
/// @throws Error(output) as layout_safetensors().
std::vector<PlannedShard> plan_shards(
    const Checkpoint& source, const std::map<std::string, std::vector<TensorInfo>>& replaced,
    const std::string& extension);

/// model.safetensors.index.json of these shards (FORMATS §5.4).
std::string index_text(const std::vector<PlannedShard>& shards);

}  // namespace prune::checkpoint
