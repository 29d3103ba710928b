#pragma once

#include <prune/loss/estimate.h>
#include <prune/models/model.h>
#include <prune/report/run_report.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace prune::pipeline {

/// What the estimate pass over the dense model found; the schedule is made from it.
struct ModelStatistics {
  std::map<std::string, loss::LayerLoss> layers;
  std::vector<double> stream_energy;  ///< per block so far: median |x|² of the stream after it
  std::vector<double> outliers;  ///< per block so far: loss::outlier_share of its chosen layers
  std::vector<report::Fallback> fallbacks;

  /// Blocks that the pass is done with.
  int64_t blocks() const { return static_cast<int64_t>(stream_energy.size()); }
};

/// Name of the statistics beside a checkpoint that was pruned with them.
inline constexpr const char* kStatisticsName = "prune_statistics.json";

/// {"schema": 2, "fingerprint": {...}, "stream_energy": [per block], "outliers": [per block],
/// "layers": {name: {"mean", "total", "energy", "cumulative": [101]}}, "fallbacks": [{"where", "what"}]}:
/// exact, as doubles are written with all digits they need.
/// @param fingerprint of the run; the part that the statistics follow from is kept.
nlohmann::json statistics_json(const ModelStatistics& statistics,
                               const nlohmann::json& fingerprint);

/// The reverse. @throws Error(input) as read_statistics(), without the file's name
ModelStatistics statistics_of(const nlohmann::json& file, const nlohmann::json& fingerprint,
                              const models::Model& model, const std::set<std::string>& chosen);

/// Reads the statistics of an earlier run: its output folder, or the file itself. They may end before
/// the last block if that run was stopped.
/// @param chosen layers that must be in it, of the blocks that are; others may be.
/// @throws Error(input) naming file and field when they are of another model, calibration, percdamp or
///         dtype, lack a layer or are damaged.
ModelStatistics read_statistics(const std::filesystem::path& path,
                                const nlohmann::json& fingerprint, const models::Model& model,
                                const std::set<std::string>& chosen);

}  // namespace prune::pipeline
