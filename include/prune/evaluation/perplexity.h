#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/core/progress.h>
#include <prune/models/hidden_states.h>
#include <prune/models/model.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace prune::evaluation {

struct PerplexityOptions {
  /// Take the loss in the computing dtype as SparseGPT's scripts do (float16 for OPT); off: float32,
  /// which moves the third decimal (FORMATS §7.2).
  bool loss_in_model_dtype = false;
  std::filesystem::path scratch;  ///< folder for the hidden states, if they fit into no memory
};

struct PerplexityResult {
  double perplexity = 0.0;
  std::string source;
  std::string sha256;  ///< of the token ids
  int64_t seqlen = 0;
  int64_t segments = 0;
  int64_t tokens = 0;  ///< segments * seqlen; the first of each segment is not scored
  std::string dtype;   ///< in which the model was run
};

/// exp of the mean over segments of the mean loss over the segment's seqlen - 1 targets: SparseGPT's
/// protocol. The model runs block by block; memory does not depend on its depth.
/// @throws Error(numeric) naming the segment when the loss is not finite.
PerplexityResult perplexity(const models::Model& model, const calibration::TokenSet& tokens,
                            const PerplexityOptions& options, Progress& progress);

/// The same of a stream that has gone through all blocks.
/// @param ids [segments, seqlen] int64: the stream's tokens.
double perplexity(const models::Head& head, const models::HiddenStates& hidden, const Tensor& ids,
                  const PerplexityOptions& options);

nlohmann::json to_json(const PerplexityResult& result);

}  // namespace prune::evaluation
