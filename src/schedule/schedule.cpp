#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/nearest.h>
#include <prune/schedule/kmeans.h>
#include <prune/schedule/schedule.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace prune::schedule {
namespace {

int64_t total_weights(const std::vector<LayerInput>& layers) {
  return std::accumulate(layers.begin(), layers.end(), int64_t{0},
                         [](int64_t sum, const LayerInput& layer) { return sum + layer.weights; });
}

// Turns fractions into counts that add up to round(target * all weights): all are rounded down,
// then those with the largest remainders get one more.
void set_zeros(SparsitySchedule& schedule, const std::vector<double>& sparsity, double target) {
  int64_t missing = std::llround(target * static_cast<double>(schedule.weights()));
  std::vector<std::pair<double, size_t>> remainders;
  for (size_t i = 0; i < schedule.layers.size(); ++i) {
    LayerSparsity& layer = schedule.layers[i];
    const double exact = sparsity[i] * static_cast<double>(layer.weights);
    layer.zeros = std::clamp<int64_t>(static_cast<int64_t>(std::floor(exact)), 0, layer.weights);
    missing -= layer.zeros;
    remainders.emplace_back(static_cast<double>(layer.zeros) - exact, i);
  }
  std::stable_sort(remainders.begin(), remainders.end());
  for (const auto& [remainder, i] : remainders) {
    LayerSparsity& layer = schedule.layers[i];
    if (missing > 0 && layer.zeros < layer.weights) {
      ++layer.zeros;
      --missing;
    }
  }
}

SparsitySchedule empty_schedule(const std::vector<LayerInput>& layers, std::string kind) {
  SparsitySchedule schedule;
  schedule.kind = std::move(kind);
  for (const LayerInput& layer : layers) {
    schedule.layers.push_back({.name = layer.name,
                               .block = layer.block,
                               .group = 0,
                               .weights = layer.weights,
                               .zeros = 0});
  }
  return schedule;
}

// Index of each layer's unit: the block or layer that gets one sparsity.
std::vector<size_t> unit_of_layers(const std::vector<LayerInput>& layers, Level level) {
  std::vector<size_t> unit(layers.size());
  for (size_t i = 1; i < layers.size(); ++i) {
    const bool same = level == Level::kBlock && layers[i].block == layers[i - 1].block;
    unit[i] = same ? unit[i - 1] : unit[i - 1] + 1;
  }
  return unit;
}

double layer_value(const LayerInput& layer, const std::vector<double>& stream_energy,
                   LossKind kind) {
  switch (kind) {
    case LossKind::kAbsolute:
      return layer.loss;
    case LossKind::kRelative:
      return layer.energy > 0 ? layer.loss / layer.energy : 0.0;
    case LossKind::kStream:
      break;
  }
  if (!layer.writes_stream) return 0.0;
  const double in_stream = stream_energy.at(static_cast<size_t>(layer.block));
  if (layer.energy_after_norm == 0.0) return layer.loss / in_stream;
  return layer.energy > 0 ? layer.loss / layer.energy * layer.energy_after_norm / in_stream : 0.0;
}

std::vector<double> unit_weights(const std::vector<LayerInput>& layers,
                                 const std::vector<size_t>& unit_of) {
  std::vector<double> weights(unit_of.back() + 1);
  for (size_t i = 0; i < layers.size(); ++i) {
    weights[unit_of[i]] += static_cast<double>(layers[i].weights);
  }
  return weights;
}

std::vector<double> unit_losses(const std::vector<LayerInput>& layers,
                                const std::vector<size_t>& unit_of,
                                const std::vector<double>& stream_energy, LossKind kind) {
  std::vector<double> losses(unit_of.back() + 1);
  for (size_t i = 0; i < layers.size(); ++i) {
    const double value = layer_value(layers[i], stream_energy, kind);
    if (!std::isfinite(value)) {
      throw Error(ErrorKind::kNumeric,
                  fmt::format("{}: the estimated loss is not finite", layers[i].name));
    }
    losses[unit_of[i]] += value;
  }
  return losses;
}

// A loss of 0 (a layer of zeros) has no logarithm; it joins the smallest one.
std::vector<double> logarithms(const std::vector<double>& losses) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const double loss : losses) {
    if (loss > 0) smallest = std::min(smallest, loss);
  }
  std::vector<double> values;
  for (const double loss : losses) {
    values.push_back(std::isinf(smallest) ? 0.0 : std::log(std::max(loss, smallest)));
  }
  return values;
}

// Shifts all raw sparsities by one number so that their clamped, weighted mean is the target. The
// mean grows with the shift, so bisection finds it to the last bit.
std::vector<double> shift_to_target(const std::vector<double>& raw,
                                    const std::vector<double>& weights,
                                    const ScheduleOptions& options) {
  const double low = std::max(0.0, options.target - 1.5 * options.spread);
  const double high =
      std::max(options.target, std::min(0.99, options.target + 1.5 * options.spread));
  const double all_weights = std::accumulate(weights.begin(), weights.end(), 0.0);
  const auto mean_at = [&](double shift) {
    double sum = 0.0;
    for (size_t i = 0; i < raw.size(); ++i) {
      sum += weights[i] * std::clamp(raw[i] + shift, low, high);
    }
    return sum / all_weights;
  };
  double below = -2.0;
  double above = 2.0 + 2 * options.spread;
  for (int step = 0; step < 100; ++step) {
    const double middle = (below + above) / 2;
    (mean_at(middle) < options.target ? below : above) = middle;
  }
  std::vector<double> sparsity;
  for (const double value : raw) sparsity.push_back(std::clamp(value + above, low, high));
  return sparsity;
}

// From the values of all units to sparsities, as kmeans_schedule documents it.
SparsitySchedule schedule_of_groups(std::string kind, const std::vector<LayerInput>& layers,
                                    const std::vector<size_t>& unit_of,
                                    const std::vector<double>& values, int64_t groups,
                                    const ScheduleOptions& options) {
  const Clusters clusters = kmeans_1d(values, groups);
  const double range = clusters.centroid.back() - clusters.centroid.front();
  std::vector<double> raw;
  for (const int64_t group : clusters.group) {
    const double distance =
        clusters.centroid[static_cast<size_t>(group)] - clusters.centroid.front();
    raw.push_back(range > 0 ? -2 * options.spread * distance / range : 0.0);
  }
  const std::vector<double> unit_sparsity =
      shift_to_target(raw, unit_weights(layers, unit_of), options);

  SparsitySchedule schedule = empty_schedule(layers, std::move(kind));
  schedule.groups.resize(clusters.centroid.size());
  for (size_t i = 0; i < unit_sparsity.size(); ++i) {
    const auto group = static_cast<size_t>(clusters.group[i]);
    schedule.groups[group] = {.centroid = clusters.centroid[group], .sparsity = unit_sparsity[i]};
  }
  std::vector<double> layer_sparsity;
  for (size_t i = 0; i < layers.size(); ++i) {
    schedule.layers[i].group = clusters.group[unit_of[i]];
    layer_sparsity.push_back(unit_sparsity[unit_of[i]]);
  }
  set_zeros(schedule, layer_sparsity, options.target);
  return schedule;
}

// Each block is its own group; the larger its value, the lower its sparsity.
SparsitySchedule schedule_of_blocks(std::string kind, const std::vector<LayerInput>& layers,
                                    const std::function<double(int64_t block)>& value,
                                    const ScheduleOptions& options) {
  const std::vector<size_t> unit_of = unit_of_layers(layers, Level::kBlock);
  std::vector<double> values(unit_of.back() + 1);
  for (size_t i = 0; i < layers.size(); ++i) values[unit_of[i]] = value(layers[i].block);
  return schedule_of_groups(std::move(kind), layers, unit_of, values,
                            static_cast<int64_t>(values.size()), options);
}

constexpr std::array kKindsByName = {ScheduleKind::kUniform, ScheduleKind::kKmeans,
                                     ScheduleKind::kAuto,    ScheduleKind::kOwl,
                                     ScheduleKind::kDepth,   ScheduleKind::kKept};
constexpr std::string_view kFilePrefix = "file:";

}  // namespace

const char* kind_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::kUniform:
      return "uniform";
    case ScheduleKind::kKmeans:
      return "kmeans";
    case ScheduleKind::kAuto:
      return "auto";
    case ScheduleKind::kOwl:
      return "owl";
    case ScheduleKind::kDepth:
      return "depth";
    case ScheduleKind::kKept:
      return "kept";
    case ScheduleKind::kFile:
      return "file";
  }
  return "";
}

ScheduleKind parse_kind(std::string_view word) {
  if (word.starts_with(kFilePrefix) && word.size() > kFilePrefix.size()) {
    return ScheduleKind::kFile;
  }
  std::vector<std::string> known;
  for (const ScheduleKind kind : kKindsByName) {
    if (word == kind_name(kind)) return kind;
    known.emplace_back(kind_name(kind));
  }
  throw Error(ErrorKind::kUsage, fmt::format("schedule '{}' is not one of {}, file:PATH{}", word,
                                             fmt::join(known, ", "), did_you_mean(word, known)));
}

int64_t SparsitySchedule::zeros() const {
  int64_t sum = 0;
  for (const LayerSparsity& layer : layers) sum += layer.zeros;
  return sum;
}

int64_t SparsitySchedule::weights() const {
  int64_t sum = 0;
  for (const LayerSparsity& layer : layers) sum += layer.weights;
  return sum;
}

SparsitySchedule uniform_schedule(const std::vector<LayerInput>& layers, double target) {
  SparsitySchedule schedule = empty_schedule(layers, "uniform");
  schedule.groups = {{.centroid = 0.0, .sparsity = target}};
  set_zeros(schedule, std::vector<double>(layers.size(), target), target);
  return schedule;
}

SparsitySchedule kmeans_schedule(const std::vector<LayerInput>& layers,
                                 const std::vector<double>& stream_energy,
                                 const ScheduleOptions& options) {
  const std::vector<size_t> unit_of = unit_of_layers(layers, options.level);
  const std::vector<double> losses = unit_losses(layers, unit_of, stream_energy, options.loss);
  return schedule_of_groups("kmeans", layers, unit_of, logarithms(losses), options.groups, options);
}

SparsitySchedule owl_schedule(const std::vector<LayerInput>& layers,
                              const std::vector<double>& outliers, const ScheduleOptions& options) {
  return schedule_of_blocks(
      "owl", layers, [&](int64_t block) { return outliers.at(static_cast<size_t>(block)); },
      options);
}

SparsitySchedule depth_schedule(const std::vector<LayerInput>& layers,
                                const ScheduleOptions& options) {
  return schedule_of_blocks(
      "depth", layers, [](int64_t block) { return -static_cast<double>(block); }, options);
}

SparsitySchedule kept_schedule(const std::vector<LayerInput>& layers,
                               const std::vector<int64_t>& zeros) {
  SparsitySchedule result{.kind = kind_name(ScheduleKind::kKept), .groups = {}, .layers = {}};
  for (size_t i = 0; i < layers.size(); ++i) {
    result.layers.push_back({.name = layers[i].name,
                             .block = layers[i].block,
                             .group = 0,
                             .weights = layers[i].weights,
                             .zeros = zeros[i]});
  }
  return result;
}

SparsitySchedule read_schedule(const std::filesystem::path& path,
                               const std::vector<LayerInput>& layers) {
  try {
    const json file = read_json(path);
    const json& schedule_part = file.contains("schedule") ? file.at("schedule") : file;
    const json wanted = require<json>(schedule_part, "layers");
    if (!wanted.is_object()) {
      throw Error(ErrorKind::kInput, "'layers' is not a JSON object of layer names and sparsities");
    }
    SparsitySchedule schedule = empty_schedule(layers, "file:" + path.string());
    std::vector<double> sparsity;
    double zeros = 0.0;
    std::vector<std::string> names;
    for (const LayerInput& layer : layers) {
      names.push_back(layer.name);
      const double value = require<double>(wanted, layer.name.c_str());
      if (!(value >= 0.0 && value <= 1.0)) {
        throw Error(ErrorKind::kInput,
                    fmt::format("layer '{}' has sparsity {}, which is not between 0 and 1",
                                layer.name, value));
      }
      sparsity.push_back(value);
      zeros += value * static_cast<double>(layer.weights);
    }
    for (const auto& [name, value] : wanted.items()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        throw Error(ErrorKind::kInput,
                    fmt::format("layer '{}' is not in the model; the nearest name is '{}'", name,
                                nearest_word(name, names)));
      }
    }
    set_zeros(schedule, sparsity, zeros / static_cast<double>(total_weights(layers)));
    return schedule;
  } catch (Error& error) {
    if (std::string_view(error.what()).find(path.string()) != 0) error.in(path.string());
    throw;
  }
}

nlohmann::json schedule_json(const SparsitySchedule& schedule) {
  json groups = json::array();
  for (size_t g = 0; g < schedule.groups.size(); ++g) {
    json members = json::array();
    for (const LayerSparsity& layer : schedule.layers) {
      if (static_cast<size_t>(layer.group) == g) members.push_back(layer.name);
    }
    groups.push_back({{"centroid", schedule.groups[g].centroid},
                      {"sparsity", schedule.groups[g].sparsity},
                      {"layers", members}});
  }
  json layers = json::object();
  for (const LayerSparsity& layer : schedule.layers) layers[layer.name] = layer.sparsity();
  return {
      {"kind", schedule.kind},
      {"sparsity", static_cast<double>(schedule.zeros()) / static_cast<double>(schedule.weights())},
      {"groups", groups},
      {"layers", layers}};
}

}  // namespace prune::schedule
