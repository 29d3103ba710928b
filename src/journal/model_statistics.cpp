#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/journal/fingerprint.h>
#include <prune/journal/model_statistics.h>

namespace prune::journal {
namespace {

constexpr int kSchema = 2;

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
          {"fingerprint", estimate_fingerprint(fingerprint)},
          {"stream_energy", statistics.stream_energy},
          {"outliers", statistics.outliers},
          {"layers", layers},
          {"fallbacks", report::fallbacks_json(statistics.fallbacks)}};
}

ModelStatistics statistics_of(const json& file, const json& fingerprint, const models::Model& model,
                              const std::set<std::string>& chosen) {
  if (require<int>(file, "schema") != kSchema) {
    throw_json_error("schema", fmt::format("is not {}", kSchema));
  }
  check_fingerprint(require<json>(file, "fingerprint"), estimate_fingerprint(fingerprint));
  ModelStatistics result;
  result.stream_energy = require<std::vector<double>>(file, "stream_energy");
  if (result.blocks() > model.config().blocks) {
    throw_json_error("stream_energy", fmt::format("has {} values for {} blocks", result.blocks(),
                                                  model.config().blocks));
  }
  result.outliers = require<std::vector<double>>(file, "outliers");
  if (!result.outliers.empty() && result.outliers.size() != result.stream_energy.size()) {
    throw_json_error("outliers", fmt::format("has {} values for {} blocks", result.outliers.size(),
                                             result.blocks()));
  }
  const auto layers = require<json>(file, "layers");
  for (int64_t block = 0; block < result.blocks(); ++block) {
    for (const models::LinearSpec& spec : model.linears(block)) {
      const std::string name = model.block_prefix(block) + spec.name;
      if (!chosen.contains(name)) continue;
      result.layers[name] = layer_loss(require<json>(layers, name.c_str()));
    }
  }
  result.fallbacks = report::fallbacks_of(require<json>(file, "fallbacks"));
  return result;
}

ModelStatistics read_statistics(const std::filesystem::path& path, const json& fingerprint,
                                const models::Model& model, const std::set<std::string>& chosen) {
  std::error_code failure;
  const bool folder = std::filesystem::is_directory(path, failure);
  const std::filesystem::path file = folder ? path / kStatisticsName : path;
  const json content = read_json(file);
  try {
    return statistics_of(content, fingerprint, model, chosen);
  } catch (Error& error) {
    error.in(file.string());
    throw;
  }
}

}  // namespace prune::journal
