#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "estimate_pass.h"

namespace prune::pipeline {

/// Name of the statistics beside a checkpoint that was pruned with them.
inline constexpr const char* kStatisticsName = "prune_statistics.json";

/// {"schema": 1, "fingerprint": {...}, "stream_energy": [per block], "layers": {name: {"mean", "total",
/// "energy", "cumulative": [101]}}, "fallbacks": [{"where", "what"}]}: exact, as doubles are written
/// with all digits they need.
nlohmann::json statistics_json(const ModelStatistics& statistics,
                               const nlohmann::json& fingerprint);

/// Reads the statistics that --stats names: the output folder of an earlier run, or the file itself.
/// @param chosen layers that must be in it; others may be.
/// @throws Error(input) naming file and field when they are of another model, calibration, percdamp or
///         dtype, lack a layer or are damaged; Error(numeric) for fallbacks in them under --strict.
ModelStatistics read_statistics(const PruneOptions& options, const nlohmann::json& fingerprint,
                                int64_t blocks, const std::set<std::string>& chosen);

}  // namespace prune::pipeline
