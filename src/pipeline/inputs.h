#pragma once

#include <prune/chat/chat_template.h>
#include <prune/journal/run_inputs.h>
#include <prune/pipeline/prune_run.h>
#include <prune/tokenizer/tokenizer.h>

#include <set>
#include <string>

// From what the user asked for to what the passes take.
namespace prune::pipeline {

/// Opens model, tokenizer, calibration and evaluation text of a run. @throws Error as the functions below
journal::RunInputs open_inputs(const PruneOptions& options);

/// Logs what is not done as asked. @throws Error(kind) with the same line under --strict
void warn_or_refuse(const report::Fallback& fallback, bool strict,
                    ErrorKind kind = ErrorKind::kInput);

models::Model open_model(
    const ModelChoice& choice,
    models::ModelOptions::Linears linears = models::ModelOptions::Linears::kDense,
    int64_t head_bits = 16);

/// The same inputs with these of the model's units.
journal::RunInputs with_units(journal::RunInputs inputs, const PruneOptions& options,
                              const models::KeptUnits& kept);

/// @param name  as chat::TemplateChoice::name
chat::TemplateChoice template_choice(const std::filesystem::path& folder,
                                     const tokenizer::Tokenizer& tokenizer,
                                     const std::string& name);

/// The dtype to compute in: the one asked for, or the device's default.
/// @throws Error(usage) for an unknown word.
at::ScalarType computing_dtype(const ModelChoice& choice, at::Device device, at::ScalarType stored);

/// The sequence length to use: the one asked for, or the model's own up to 2048.
/// @throws Error(usage) if it is longer than the model's positions.
int64_t choose_seqlen(const models::ModelConfig& config, int64_t asked);

/// Guesses about the texts are logged. @throws Error(input) if the tokenizer gives ids beyond the model's
/// vocabulary, or for a guess under --strict.
calibration::TokenSet calibration_tokens(const models::Model& model,
                                         const tokenizer::Tokenizer& tokenizer,
                                         const PruneOptions& options);
/// As calibration_tokens().
calibration::TokenSet evaluation_tokens(const models::Model& model,
                                        const tokenizer::Tokenizer& tokenizer,
                                        const EvaluationChoice& choice, bool strict);

/// Names of the linear layers that --include matches and --exclude does not.
/// @throws Error(usage) for a bad expression, if no layer is left or --group-size does not divide one;
///         Error(input) if the model is quantized.
std::set<std::string> chosen_layers(const models::ModelShape& model, const PruneOptions& options);

/// @throws Error(usage) for an order that this model does not allow
void check_order(const models::ModelShape& model, const PruneOptions& options);

/// Writes quantized weights dense where they cannot be packed. @return what to say then
/// @throws Error(usage) instead if they must be
std::optional<report::Fallback> choose_format_(const models::ModelShape& model,
                                               const std::set<std::string>& chosen,
                                               PruneOptions& options);

/// How many calibration samples the estimate pass runs, counted from the first.
int64_t estimate_samples(const PruneOptions& options);

/// Samples per batch, as stream::HiddenStates::embed() takes it. A deterministic run takes one at a time, since
/// what else is in a batch depends on the number of ranks.
int64_t samples_at_once(bool deterministic);

/// @param scratch folder for hidden states that fit into no memory
evaluation::PerplexityOptions perplexity_options(const EvaluationChoice& choice,
                                                 const std::filesystem::path& scratch,
                                                 bool deterministic);

/// The perplexity over the segments of all ranks.
evaluation::PerplexityResult shared_perplexity(const models::Model& model,
                                               const calibration::TokenSet& tokens,
                                               const evaluation::PerplexityOptions& options,
                                               dist::Communicator& comm, Progress& progress);

}  // namespace prune::pipeline
