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

namespace prune::journal {

/// What the estimate pass over the dense model leaves; the schedule is made from it.
struct ModelStatistics {
  std::map<std::string, loss::LayerLoss> layers;
  std::vector<double> stream_energy;  ///< per finished block: median |x|² of the stream after it
  /// Per finished block: loss::outlier_share of its chosen layers. Empty unless the schedule is OWL's.
  std::vector<double> outliers;
  std::vector<report::Fallback> fallbacks;

  /// Number of finished blocks.
  int64_t blocks() const { return static_cast<int64_t>(stream_energy.size()); }
};

/// File name of the statistics in an output folder.
inline constexpr const char* kStatisticsName = "prune_statistics.json";

/// {"schema": 2, "fingerprint": {...}, "stream_energy": [per block], "outliers": [per block or empty],
/// "layers": {name: {"mean", "total", "energy", "cumulative": [101]}}, "fallbacks": [{"where", "what"}]}.
/// Doubles are written with all digits, so that reading restores them exactly.
/// @param fingerprint of the run; only the estimate pass's part is kept
nlohmann::json statistics_json(const ModelStatistics& statistics,
                               const nlohmann::json& fingerprint);

/// Reads statistics_json()'s form. @throws Error(input) as read_statistics(), without the file's name
ModelStatistics statistics_of(const nlohmann::json& file, const nlohmann::json& fingerprint,
                              const models::Model& model, const std::set<std::string>& chosen);

/// Reads the statistics of an earlier run. They may end before the last block if that run was stopped.
/// @param path    the run's output folder, or the file itself
/// @param chosen  layers that must be in the blocks that the file covers; others may be
/// @throws Error(input) naming file and field if they belong to another model, calibration, percdamp or
///         dtype, lack a layer or are damaged.
ModelStatistics read_statistics(const std::filesystem::path& path,
                                const nlohmann::json& fingerprint, const models::Model& model,
                                const std::set<std::string>& chosen);

}  // namespace prune::journal
