#pragma once

#include <prune/models/family.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prune::models {

/// What config.json alone says of a model: its family, its layers, how large everything is.
struct ModelShape {
  const FamilySpec* family = nullptr;
  ModelConfig config;
  std::vector<LinearSpec> linears;             ///< of every block
  int64_t block_elements = 0;                  ///< of all tensors of one block
  int64_t embedding_elements = 0;              ///< of what lies before the first block
  int64_t head_elements = 0;                   ///< of what lies after the last one
  int64_t parameters = 0;                      ///< all elements; what is tied counts once
  std::optional<at::ScalarType> stored_dtype;  ///< of the weights, if config.json tells
  std::optional<Quantization> quantization;    ///< of weights that are stored pack-quantized

  std::string block_prefix(int64_t block) const;
};

/// Reads `folder`/config.json; no weight file is needed.
/// @throws Error(input) naming the file and the key: not supported, quantized in another way, or no model
///         at all.
ModelShape read_model_shape(const std::filesystem::path& folder);

/// The same architecture with one block, a small vocabulary and every width divided by `divisor`, heads of the
/// same size: `prune plan` measures it where a block of the real one would take too long.
/// @return nothing if `divisor` does not divide the widths and the numbers of heads.
std::optional<ModelShape> shrink(const ModelShape& shape, int64_t divisor);

}  // namespace prune::models
