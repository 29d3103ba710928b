#include "statistics_file.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include "fingerprint.h"

namespace prune::pipeline {
namespace {

constexpr int kSchema = 1;

loss::LayerLoss layer_loss(const json& layer) {
  loss::LayerLoss result{.mean = require<double>(layer, "mean"),
                         .total = require<double>(layer, "total"),
                         .cumulative = {},
                         .energy = require<double>(layer, "energy")};
  const auto curve = require<std::vector<double>>(layer, "cumulative");
  if (curve.size() != result.cumulative.size()) {
    throw_json_error("cumulative",
                     fmt::format("has {} values, not {}", curve.size(), result.cumulative.size()));
  }
  std::ranges::copy(curve, result.cumulative.begin());
  return result;
}

ModelStatistics parse(const json& file, const json& fingerprint, int64_t blocks,
                      const std::set<std::string>& chosen) {
  if (require<int>(file, "schema") != kSchema) {
    throw_json_error("schema", fmt::format("is not {}", kSchema));
  }
  check_fingerprint(require<json>(file, "fingerprint"), fingerprint);
  ModelStatistics result;
  result.stream_energy = require<std::vector<double>>(file, "stream_energy");
  if (static_cast<int64_t>(result.stream_energy.size()) != blocks) {
    throw_json_error("stream_energy", fmt::format("has {} values for {} blocks",
                                                  result.stream_energy.size(), blocks));
  }
  const json layers = require<json>(file, "layers");
  for (const std::string& name : chosen) {
    try {
      result.layers[name] = layer_loss(require<json>(layers, name.c_str()));
    } catch (Error& error) {
      error.in("layers");
      throw;
    }
  }
  for (const json& fallback : require<json>(file, "fallbacks")) {
    result.fallbacks.push_back({.where = require<std::string>(fallback, "where"),
                                .what = require<std::string>(fallback, "what")});
  }
  return result;
}

}  // namespace

json statistics_json(const ModelStatistics& statistics, const json& fingerprint) {
  json layers = json::object();
  for (const auto& [name, layer] : statistics.layers) {
    layers[name] = {{"mean", layer.mean},
                    {"total", layer.total},
                    {"energy", layer.energy},
                    {"cumulative", layer.cumulative}};
  }
  return {{"schema", kSchema},
          {"fingerprint", fingerprint},
          {"stream_energy", statistics.stream_energy},
          {"layers", layers},
          {"fallbacks", report::fallbacks_json(statistics.fallbacks)}};
}

ModelStatistics read_statistics(const PruneOptions& options, const json& fingerprint,
                                int64_t blocks, const std::set<std::string>& chosen) {
  std::error_code failure;
  const bool folder = std::filesystem::is_directory(options.stats, failure);
  const std::filesystem::path file = folder ? options.stats / kStatisticsName : options.stats;
  const json content = read_json(file);
  try {
    ModelStatistics statistics = parse(content, fingerprint, blocks, chosen);
    if (options.strict && !statistics.fallbacks.empty()) {
      const report::Fallback& first = statistics.fallbacks.front();
      throw Error(ErrorKind::kNumeric,
                  fmt::format("{}: {}; refused by --strict", first.where, first.what));
    }
    return statistics;
  } catch (Error& error) {
    error.in(file.string());
    throw;
  }
}

}  // namespace prune::pipeline
