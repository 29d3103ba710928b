#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/core/progress.h>
#include <prune/models/model.h>
#include <prune/stream/hidden_states.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace prune::evaluation {

struct PerplexityOptions {
  /// Take the loss in the computing dtype as SparseGPT's scripts do (float16 for OPT); off: float32,
  /// which moves the third decimal (FORMATS §7.2).
  bool loss_in_model_dtype = false;
  std::filesystem::path scratch;  ///< folder for the hidden states, if they fit into no memory
  int64_t batch = 0;              ///< segments at once, as stream::HiddenStates::embed() says
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

/// The mean loss over each segment's seqlen - 1 targets. The model runs block by block; memory does not
/// depend on its depth.
/// @param ids [segments, seqlen] int64; there may be none @param source what the text is called
/// @return [segments] float64, CPU
Tensor segment_losses(const models::Model& model, const Tensor& ids, const std::string& source,
                      const PerplexityOptions& options, Progress& progress);

/// The same of a stream that has gone through all blocks. @param ids the stream's tokens
Tensor segment_losses(const models::Head& head, const stream::HiddenStates& hidden,
                      const Tensor& ids, const PerplexityOptions& options);

/// exp of the mean of the segments' losses: SparseGPT's protocol.
/// @throws Error(numeric) naming the segment whose loss is not finite.
double perplexity(const Tensor& losses);

/// That, and what it is of.
PerplexityResult perplexity(const Tensor& losses, const calibration::TokenSet& tokens,
                            at::ScalarType dtype);

nlohmann::json to_json(const PerplexityResult& result);

}  // namespace prune::evaluation
