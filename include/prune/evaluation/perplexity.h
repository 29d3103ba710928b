#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/core/progress.h>
#include <prune/models/model.h>
#include <prune/stream/hidden_states.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::evaluation {

struct PerplexityOptions {
  /// Compute the loss in the computing dtype, as SparseGPT's scripts do (float16 for OPT). Off: in float32,
  /// which moves the third decimal (src/evaluation/README.md, "Perplexity").
  bool loss_in_model_dtype = false;
  std::filesystem::path scratch;  ///< folder for hidden states that do not fit into memory
  int64_t batch = 0;              ///< segments per forward, as in stream::HiddenStates::embed()
};

struct PerplexityResult {
  double perplexity = 0.0;
  std::string source;
  std::vector<calibration::TextDescription> texts;  ///< how it was read
  std::string sha256;                               ///< of the token ids
  int64_t seqlen = 0;
  int64_t segments = 0;
  int64_t tokens = 0;  ///< segments * seqlen; each segment's first is not scored
  std::string dtype;   ///< the model's computing dtype
};

/// Mean loss of each segment over its seqlen - 1 targets, in nats. The model runs block by block, so memory
/// does not depend on its depth.
/// @param ids     [segments, seqlen] int64; segments may be 0
/// @param source  the text's name, for the progress line
/// @return [segments] float64, CPU
Tensor segment_losses(const models::Model& model, const Tensor& ids, const std::string& source,
                      const PerplexityOptions& options, Progress& progress);

/// Mean loss of each segment from hidden states that have passed all blocks.
/// @param ids  their tokens, [segments, seqlen] int64
/// @return [segments] float64, CPU
Tensor segment_losses(const models::Head& head, const stream::HiddenStates& hidden,
                      const Tensor& ids, const PerplexityOptions& options);

/// exp of the mean of the segments' losses: the protocol of SparseGPT's scripts (arXiv 2301.00774).
/// @throws Error(numeric) naming the first segment whose loss is not finite.
double perplexity(const Tensor& losses);

/// Perplexity with its provenance: text, token hash, lengths and dtype.
PerplexityResult perplexity(const Tensor& losses, const calibration::TokenSet& tokens,
                            at::ScalarType dtype);

nlohmann::json to_json(const PerplexityResult& result);

}  // namespace prune::evaluation
