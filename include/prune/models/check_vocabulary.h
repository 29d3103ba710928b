#pragma once

#include <prune/models/model_config.h>

namespace prune::models {

/// @throws Error(input) if the largest id that a tokenizer gave has no row in the model's embedding
void check_vocabulary(const ModelConfig& config, int64_t largest_id);

}  // namespace prune::models
