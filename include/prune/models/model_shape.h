#pragma once

#include <prune/checkpoint/weight_format.h>
#include <prune/models/ends.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace prune::models {

/// What config.json alone says about a model.
struct ModelShape : DecoderSpec {
  nlohmann::json raw;                          ///< config.json
  std::vector<int64_t> kind_elements;          ///< of all tensors of one block, for each kind
  int64_t embedding_elements = 0;              ///< of tensors before the first block
  int64_t head_elements = 0;                   ///< of tensors after the last block
  int64_t parameters = 0;                      ///< all elements; tied tensors count once
  std::optional<at::ScalarType> stored_dtype;  ///< of the weights, if config.json names it
  std::optional<checkpoint::WeightFormat> weight_format;  ///< of quantized weights
  std::vector<std::string> format_keys;  ///< of config.json, which describe `weight_format`
  /// Keys of config.json that name a compression format although the weights are dense, as llm-compressor writes
  /// them after sparsification; without their format's package Transformers refuses the folder.
  std::vector<std::string> stale_keys;

  const std::vector<LinearSpec>& linears(int64_t block) const { return this->block(block).linears; }
  int64_t block_elements(int64_t block) const {
    return kind_elements.at(kind_of_block.at(static_cast<size_t>(block)));
  }
};

/// The model_types that can be read, wrappers of text models included.
std::vector<std::string> known_families();

/// Reads `folder`/config.json; no weight file is needed.
/// @throws Error(input) naming the file and the key if the model is not supported or not valid, or
///         is quantized in a format that we cannot read.
ModelShape read_model_shape(const std::filesystem::path& folder);

/// The same model with a head of its own, as config.json would say it.
ModelShape with_own_head(const ModelShape& shape);

/// Keys of a configuration that say how many experts there are; those of a wrapper's text model as "text_config/KEY".
std::vector<std::string> expert_counts_in(const nlohmann::json& raw);

/// The same model with so many experts in each block that has some.
ModelShape with_experts(const ModelShape& shape, int64_t experts);

/// The channels of every feed-forward, and the key heads of every attention.
/// @throws Error(usage) naming --ffn or --heads if the model has none, or not as many in every block
int64_t channels_of(const ModelShape& shape);
int64_t key_heads_of(const ModelShape& shape);

/// The same model with feed-forwards of this width; with so many key heads and the queries that belong to them; with
/// these of its blocks. @throws Error(usage) naming --ffn, --heads or --blocks if config.json cannot say it
ModelShape with_channels(const ModelShape& shape, int64_t width);
ModelShape with_key_heads(const ModelShape& shape, int64_t key_heads);
ModelShape with_blocks(const ModelShape& shape, const std::vector<int64_t>& kept);

/// The number of units in the block that has most.
int64_t most_units(const std::vector<std::vector<int64_t>>& units);

/// The same model under the other names that a multimodal wrapper's files have; nothing for other models.
std::vector<ModelShape> with_other_names(const ModelShape& shape);

/// The same architecture with every width divided by `divisor`, heads of the same size: `prune plan` measures its
/// blocks where those of the real one would take too long.
/// @return nothing if `divisor` does not divide the widths and the numbers of heads.
std::optional<ModelShape> shrink(const ModelShape& shape, int64_t divisor);

}  // namespace prune::models
