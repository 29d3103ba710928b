#pragma once

#include <prune/models/model.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/run_report.h>

#include <set>
#include <string>
#include <vector>

// What a user should know about a model folder and the chosen layers before the work begins.
namespace prune::pipeline {

/// An adapter that lies beside the weights and is not applied; empty if there is none.
std::vector<report::Fallback> adapter_fallbacks(const std::filesystem::path& folder);

/// The adapter, and an --exclude that matches no layer.
std::vector<report::Fallback> model_fallbacks(const models::Model& model,
                                              const PruneOptions& options);

/// How quantized weights are read and what the output holds instead; empty if they are not quantized.
/// @param stored  dtype of the dequantized weights
std::string quantized_input_note(const models::ModelShape& model, at::ScalarType stored,
                                 bool packed);

/// What is done as asked but may surprise: a head that config.json wrongly calls tied, stale keys, layers that
/// inference servers fuse but that get different number formats.
std::vector<std::string> model_remarks(const models::Model& model, const PruneOptions& options,
                                       const std::set<std::string>& chosen);

}  // namespace prune::pipeline
