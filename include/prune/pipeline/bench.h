#pragma once

#include <prune/pipeline/prune_run.h>

#include <map>
#include <string>

namespace prune::pipeline {

struct BenchOptions {
  ModelChoice model;
  int64_t prompt_tokens = 128;
  int64_t max_tokens = 64;  ///< after the prompt
  int64_t repeats = 3;      ///< the fastest counts
  int64_t head_bits = 16;   ///< as models::ModelOptions has it
};

/// How fast a model reads a prompt and writes text, one text at a time.
struct BenchResult {
  std::string dtype;                            ///< of the activations
  std::map<std::string, int64_t> weight_bytes;  ///< by form, "mask + 4 bits"; what one token reads
  int64_t parameters = 0;                       ///< elements of those matrices, zeros included
  double load_s = 0.0;
  double prompt_s = 0.0;     ///< until the first token
  double decode_s = 0.0;     ///< of the tokens after the first
  int64_t memory_bytes = 0;  ///< what the process holds more than before, with the keys and values
  double read_bytes_per_s = 0.0;  ///< of this machine's memory, measured just before

  int64_t read_bytes() const;
};

/// Reads random tokens and continues them with the most probable ones. Needs no tokenizer.
/// @throws Error(input) if the model has fewer positions than both together
BenchResult bench(const BenchOptions& options);

}  // namespace prune::pipeline
