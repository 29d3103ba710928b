#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace prune::models {

/// What stays of a model from which whole units are removed. Units have the source's numbers, ascending.
struct KeptUnits {
  std::vector<int64_t> blocks = {};  ///< empty: all
  // By block that stays. Empty: all units of all blocks.
  std::vector<std::vector<int64_t>> experts = {};
  std::vector<std::vector<int64_t>> channels = {};  ///< of the feed-forward
  std::vector<std::vector<int64_t>> key_heads =
      {};  ///< heads of keys and values, with their queries
  /// safetensors files with weights that take the place of the source's: those of layers that read fewer columns.
  std::vector<std::filesystem::path> weights = {};

  bool all() const {
    return blocks.empty() && experts.empty() && channels.empty() && key_heads.empty();
  }
};

}  // namespace prune::models
