#pragma once

#include <prune/dist/sample_split.h>
#include <prune/pipeline/prune_run.h>
#include <prune/stream/hidden_states.h>

#include <optional>
#include <set>
#include <string>

// From what the user asked for to what the passes take.
namespace prune::pipeline {

models::Model open_model(const ModelChoice& choice);

/// The dtype to compute in: what was asked for, or by the device.
/// @throws Error(usage) for a word that is no dtype.
at::ScalarType computing_dtype(const ModelChoice& choice, at::Device device, at::ScalarType stored);

/// The sequence length to use: what was asked for, or the model's own, at most 2048.
/// @throws Error(usage) if it is longer than the model's positions.
int64_t choose_seqlen(const models::ModelConfig& config, int64_t asked);

calibration::TokenSet calibration_tokens(const models::Model& model,
                                         const tokenizer::Tokenizer& tokenizer,
                                         const PruneOptions& options);
calibration::TokenSet evaluation_tokens(const models::Model& model,
                                        const tokenizer::Tokenizer& tokenizer,
                                        const EvaluationChoice& choice);
/// @throws Error(input) when the tokenizer gives ids that the model does not have.
void check_vocabulary(const models::Model& model, const calibration::TokenSet& tokens);

/// The batch of stream::HiddenStates::embed(). A deterministic run takes one sample at a time: what else is in
/// a batch would follow from the number of ranks.
int64_t samples_at_once(bool deterministic);

/// @param scratch folder for the hidden states, if they fit into no memory.
evaluation::PerplexityOptions perplexity_options(const EvaluationChoice& choice,
                                                 const std::filesystem::path& scratch,
                                                 bool deterministic);

/// The perplexity by the segments that the ranks have measured together.
evaluation::PerplexityResult shared_perplexity(const models::Model& model,
                                               const calibration::TokenSet& tokens,
                                               const evaluation::PerplexityOptions& options,
                                               dist::Communicator& comm, Progress& progress);

/// What a run works on.
struct Inputs {
  models::Model model;
  std::set<std::string> chosen;  ///< names of the layers to prune
  calibration::TokenSet tokens;
  std::optional<calibration::TokenSet> evaluation;
};

Inputs open_inputs(const PruneOptions& options);

/// How many calibration samples the estimate pass runs, the first ones.
int64_t estimate_samples(const PruneOptions& options);

/// Which of so many samples each rank runs.
dist::SampleSplit sample_split(int64_t samples, const PruneOptions& options,
                               const dist::Communicator& comm);

/// The residual stream of this rank's calibration samples before the first block.
stream::HiddenStates embed_share(const Inputs& inputs, const dist::SampleSplit& split,
                                 const PruneOptions& options, const std::filesystem::path& scratch,
                                 const dist::Communicator& comm);

/// Names of the linear layers that --include takes and --exclude does not.
/// @throws Error(usage) for a bad expression, when no layer is left or --group-size does not divide one;
///         Error(input) when the model is quantized.
std::set<std::string> chosen_layers(const models::ModelShape& model, const PruneOptions& options);

}  // namespace prune::pipeline
