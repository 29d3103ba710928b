#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace prune::models {

/// A checkpoint's config.json: the fields common to all families, and the JSON itself for a
/// family's own keys.
struct ModelConfig {
  std::string model_type;
  int64_t blocks = 0;  ///< num_hidden_layers
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  ///< longest sequence; 0: the model sets no limit (ALiBi)
  bool tied = false;          ///< tie_word_embeddings
  nlohmann::json raw;
};

}  // namespace prune::models
