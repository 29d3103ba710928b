#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::schedule {

/// What the schedule has to know of a linear layer, in model order.
struct LayerInput {
  std::string name;
  int64_t block = 0;
  int64_t weights = 0;
  bool writes_stream = false;  ///< out_proj, fc2, ...: adds to the residual stream
  double loss = 0.0;           ///< total estimated loss (loss::LayerLoss)
  double energy = 0.0;         ///< tr(W H Wᵀ)
};

/// Which reading of "estimated loss on a logarithmic scale" is clustered (DESIGN §4.4).
enum class LossKind {
  kStream,    ///< loss of the layers that write the stream over the stream's median energy
  kRelative,  ///< each layer's loss over its output energy
  kAbsolute,
};

enum class Level { kBlock, kLayer };

struct ScheduleOptions {
  double target = 0.7;
  int64_t groups = 6;    ///< K
  double spread = 0.15;  ///< D: distance of a group's sparsity from the target before clamping
  LossKind loss = LossKind::kStream;
  Level level = Level::kBlock;
};

struct Group {
  double centroid = 0.0;  ///< of log losses
  double sparsity = 0.0;
};

struct LayerSparsity {
  std::string name;
  int64_t block = 0;
  int64_t group = 0;
  int64_t weights = 0;
  int64_t zeros = 0;  ///< exact count to prune
  double sparsity() const { return static_cast<double>(zeros) / static_cast<double>(weights); }
};

/// Layer -> sparsity, with the groups it came from.
struct SparsitySchedule {
  std::string kind;  ///< "uniform", "kmeans", "owl", "depth", "file:..."
  std::vector<Group> groups;
  std::vector<LayerSparsity> layers;
  int64_t zeros() const;
  int64_t weights() const;
};

/// Every layer gets the target; counts are rounded so that they add up to round(target * weights).
SparsitySchedule uniform_schedule(const std::vector<LayerInput>& layers, double target);

/// Groups blocks (or layers) by their log loss with K-means; a group with a larger loss gets a lower
/// sparsity: -2 D (c - c_min) / (c_max - c_min) plus one common shift so that the mean over all weights
/// is the target, clamped to [max(0, S - 1.5 D), min(0.99, S + 1.5 D)].
/// @param stream_energy per block: median over tokens of |x|² of the stream after it.
/// @throws Error(numeric) when a loss is not finite; losses of 0 (a layer already all zero) are
///         treated as the smallest positive loss of the model.
/// Source: arXiv 2409.20094; the rule from group to sparsity is ours (README).
SparsitySchedule kmeans_schedule(const std::vector<LayerInput>& layers,
                                 const std::vector<double>& stream_energy,
                                 const ScheduleOptions& options);

/// OWL, for comparison: a block with more outliers gets a lower sparsity, by the same rule with every
/// block a group of its own. D is OWL's lambda.
/// @param outliers per block: loss::outlier_share
/// Source: Yin et al. 2023, arXiv 2310.05175, section 3.
SparsitySchedule owl_schedule(const std::vector<LayerInput>& layers,
                              const std::vector<double>& outliers, const ScheduleOptions& options);

/// The later the block the sparser, in equal steps over 2 D: what a schedule that looks at nothing gives.
SparsitySchedule depth_schedule(const std::vector<LayerInput>& layers,
                                const ScheduleOptions& options);

/// Reads {"layers": {name: sparsity}} or a report's "schedule" part; every layer must be named.
/// @throws Error(input) naming file and layer.
SparsitySchedule read_schedule(const std::filesystem::path& path,
                               const std::vector<LayerInput>& layers);

/// The report's "schedule" part, which read_schedule reads back.
nlohmann::json schedule_json(const SparsitySchedule& schedule);

}  // namespace prune::schedule
