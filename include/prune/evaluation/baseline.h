#pragma once

#include <prune/evaluation/perplexity.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace prune::evaluation {

/// The baseline that later perplexities are compared with: the JSON of a PerplexityResult with "tolerance"
/// (a fraction of the perplexity), "model" and "written" (UTC date); src/evaluation/README.md, "Baselines".
nlohmann::json baseline_json(const PerplexityResult& result, const std::string& model,
                             double tolerance);

/// Compares a perplexity with a baseline, or with a published value: a baseline that has "published" (its
/// source) instead of hash, segments and dtype.
/// @return one line: "perplexity 119.3900 is 0.12 % below 119.5300 of 2026-11-25".
/// @throws Error(gate) with that line when `result` exceeds the baseline by more than `tolerance`;
///         Error(input) naming the key when the two are not comparable: other protocol, tokens or dtype, or
///         a file that is not a baseline.
std::string compare_to_baseline(const PerplexityResult& result, const nlohmann::json& baseline,
                                double tolerance);

/// JUnit XML with one test case.
/// @param failure the message of a failed case; empty if it passed.
std::string junit_xml(const std::string& name, double elapsed_s, const std::string& failure);

}  // namespace prune::evaluation
