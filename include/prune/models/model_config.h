#pragma once

#include <cstdint>
#include <string>

namespace prune::models {

/// The sizes that all families have.
struct ModelConfig {
  std::string model_type;
  int64_t blocks = 0;  ///< num_hidden_layers
  int64_t hidden_size = 0;
  /// Columns of the stream behind the hidden ones: what a token carries from one block to another beside its hidden
  /// state (src/models/README.md, "Gemma").
  int64_t carried = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  ///< longest sequence; 0: the model sets no limit (ALiBi)
  /// Key of config.json that sets that limit, if attention selects keys: up to there it selects all of them.
  std::string selects_beyond = {};
  bool tied = false;  ///< tie_word_embeddings

  /// Columns of the stream between two blocks.
  int64_t stream_size() const { return hidden_size + carried; }
};

}  // namespace prune::models
