#include "shard_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace prune::checkpoint {

std::vector<PlannedShard> plan_shards(
    const Checkpoint& source, const std::map<std::string, std::vector<TensorInfo>>& replaced,
    const std::string& extension) {
  std::vector<std::vector<TensorInfo>> by_file(source.files().size());
  for (const std::string& name : source.names()) {
    const TensorInfo& info = source.info(name);
    std::vector<TensorInfo>& tensors = by_file.at(info.file);
    if (const auto found = replaced.find(name); found != replaced.end()) {
      tensors.insert(tensors.end(), found->second.begin(), found->second.end());
    } else {
      tensors.push_back(info);
    }
  }
  const auto count = std::ranges::count_if(
      by_file, [](const std::vector<TensorInfo>& tensors) { return !tensors.empty(); });
  std::vector<PlannedShard> shards;
  for (size_t file = 0; file < by_file.size(); ++file) {
    if (by_file[file].empty()) continue;
    shards.push_back(
        {.name = count == 1
                     ? "model" + extension
                     : fmt::format("model-{:05d}-of-{:05d}{}", shards.size() + 1, count, extension),
         .layout = layout_safetensors(std::move(by_file[file]), source.metadata(file))});
  }
  return shards;
}

std::string index_text(const std::vector<PlannedShard>& shards) {
  nlohmann::json weight_map = nlohmann::json::object();
  int64_t size_bytes = 0;
  int64_t parameters = 0;
  for (const PlannedShard& shard : shards) {
    for (const PlacedTensor& tensor : shard.layout.tensors) {
      weight_map[tensor.info.name] = shard.name;
      size_bytes += tensor.info.size_bytes;
      parameters += element_count(tensor.info.shape);
    }
  }
  const nlohmann::json index = {
      {"metadata", {{"total_parameters", parameters}, {"total_size", size_bytes}}},
      {"weight_map", std::move(weight_map)}};
  return index.dump(2) + "\n";
}

}  // namespace prune::checkpoint
