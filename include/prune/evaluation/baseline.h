#pragma once

#include <prune/evaluation/perplexity.h>

#include <nlohmann/json.hpp>
#include <string>

namespace prune::evaluation {

/// What later perplexities are held against: the JSON of a PerplexityResult with "tolerance" (a fraction of
/// the perplexity), "model" and "written" (UTC date) beside it (DESIGN §6).
nlohmann::json baseline_json(const PerplexityResult& result, const std::string& model,
                             double tolerance);

/// A baseline may also be a published value, with "published" (where) in place of hash, segments and dtype.
/// Says how `result` stands to the baseline: "119.39 is 0.12 % below 119.53 (written 2026-11-25)".
/// @throws Error(gate) saying by how much when it is above the baseline by more than the tolerance;
///         Error(input) naming the key when the baseline is of another protocol, other tokens or another
///         dtype, or no baseline at all: these are not compared.
std::string compare_to_baseline(const PerplexityResult& result, const nlohmann::json& baseline,
                                double tolerance);

/// JUnit's XML of one test case.
/// @param failure what the case failed with; empty if it did not.
std::string junit_xml(const std::string& name, double elapsed_s, const std::string& failure);

}  // namespace prune::evaluation
