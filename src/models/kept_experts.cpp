#include "kept_experts.h"

#include <map>
#include <optional>
#include <set>
#include <string>

namespace prune::models {
namespace {

/// New names of layers with tensors of their own; none for those that are removed.
using LayerNames = std::map<std::string, std::optional<std::string>>;

void rename_layers(const BlockSpec& block, const std::string& prefix,
                   const std::vector<int64_t>& kept, LayerNames& names) {
  std::vector<std::vector<std::string>> by_expert(static_cast<size_t>(block.experts()));
  for (const LinearSpec& linear : block.linears) {
    if (linear.expert < 0 || !linear.stored_shape.empty()) continue;
    by_expert[static_cast<size_t>(linear.expert)].push_back(prefix + linear.name);
    names[prefix + linear.name] = std::nullopt;
  }
  for (size_t number = 0; number < kept.size(); ++number) {
    const std::vector<std::string>& old = by_expert[static_cast<size_t>(kept[number])];
    for (size_t i = 0; i < old.size(); ++i) names[old[i]] = by_expert[number][i];
  }
}

/// The tensors that have one slice for each expert, and the dimension along which.
std::map<std::string, int64_t> sliced_by_expert(const BlockSpec& block) {
  const RouterSpec& router = block.moe->router;
  std::map<std::string, int64_t> tensors = {{router.weight, 0},
                                            {router.bias, 0},
                                            {router.expert_scale, 0},
                                            {router.correction, router.correction_is_row ? 1 : 0}};
  for (const LinearSpec& linear : block.linears) {
    if (linear.stored_shape.empty()) continue;
    tensors[linear.stored.name] = 0;
    tensors[linear.stored_bias] = 0;
  }
  tensors.erase("");
  return tensors;
}

}  // namespace

void keep_experts(checkpoint::Checkpoint& source, const ModelShape& shape,
                  const std::vector<std::vector<int64_t>>& kept) {
  LayerNames names;
  for (int64_t number = 0; number < shape.config.blocks; ++number) {
    const BlockSpec& block = shape.block(number);
    if (block.experts() == 0) continue;
    const std::string prefix = shape.block_prefix(number);
    const std::vector<int64_t>& of_block = kept.at(static_cast<size_t>(number));
    rename_layers(block, prefix, of_block, names);
    for (const auto& [name, dim] : sliced_by_expert(block)) {
      source.select(prefix + name, dim, of_block);
    }
  }
  source.rename([&](const std::string& name) -> std::optional<std::string> {
    const size_t dot = name.rfind('.');
    const auto layer = names.find(name.substr(0, dot));
    if (layer == names.end()) return name;
    if (!layer->second) return std::nullopt;
    return *layer->second + name.substr(dot);
  });
}

}  // namespace prune::models
