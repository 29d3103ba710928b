#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace prune::schedule {

/// Where a run's schedule comes from.
enum class ScheduleKind {
  kUniform,
  kKmeans,
  kAuto,  ///< the best of several on held-out samples
  kOwl,
  kDepth,
  kKept,  ///< every layer as sparse as it is
  kFile,  ///< read_schedule
};

/// "uniform", "kmeans", "auto", "owl", "depth", "kept", "file".
const char* kind_name(ScheduleKind kind);

/// The kind that `word` names: a name of kind_name() or "file:PATH".
/// @throws Error(usage) with `word`, the known words and the nearest of them.
ScheduleKind parse_kind(std::string_view word);

/// What a schedule needs to know about a linear layer. Lists of them are in model order.
struct LayerInput {
  std::string name;
  int64_t block = 0;
  int64_t weights = 0;
  bool writes_stream = false;  ///< its output is added to the residual stream (out_proj, fc2, ...)
  double loss = 0.0;           ///< total estimated loss (loss::LayerLoss)
  double energy = 0.0;         ///< tr(W H Wᵀ)
  /// Energy per token of the output behind the norm that follows it; 0: it is added to the stream as it is. All layers
  /// of a model that write the stream have one, or none.
  double energy_after_norm = 0.0;
};

/// Which loss is clustered, on a logarithmic scale: src/schedule/README.md, "Values".
enum class LossKind {
  kStream,    ///< the loss of layers that write the stream, divided by the stream's median energy
  kRelative,  ///< each layer's loss divided by its output energy
  kAbsolute,  ///< each layer's loss
};

enum class Level { kBlock, kLayer };

struct ScheduleOptions {
  double target = 0.7;
  int64_t groups = 6;    ///< K
  double spread = 0.15;  ///< D: the groups' sparsities span 2 D before clamping
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

/// Layer -> sparsity, with the groups it follows from.
struct SparsitySchedule {
  std::string kind;  ///< "uniform", "kmeans", "owl", "depth", "kept", "file:..."
  std::vector<Group> groups;
  std::vector<LayerSparsity> layers;
  int64_t zeros() const;
  int64_t weights() const;
};

/// Gives every layer the target. Counts are rounded so that they add up to round(target * weights).
SparsitySchedule uniform_schedule(const std::vector<LayerInput>& layers, double target);

/// Groups blocks (or layers) by the logarithm of their loss with K-means. A group with a larger
/// loss gets a lower sparsity: -2 D (c - c_min) / (c_max - c_min), c its centroid, plus one shift
/// common to all groups that makes the mean over all weights the target S, clamped to
/// [max(0, S - 1.5 D), min(0.99, S + 1.5 D)]. A loss of 0 (a layer already all zero) counts as the
/// model's smallest positive loss.
/// @param stream_energy per block: median over tokens of |x|² of the stream after it.
/// @throws Error(numeric) naming a layer whose loss is not finite.
/// Source: arXiv 2409.20094. The step from group to sparsity is ours:
/// src/schedule/README.md, "Sparsities".
SparsitySchedule kmeans_schedule(const std::vector<LayerInput>& layers,
                                 const std::vector<double>& stream_energy,
                                 const ScheduleOptions& options);

/// OWL, for comparison: the more outliers a block has, the lower its sparsity. Sparsities follow as
/// in kmeans_schedule(), each block being its own group; D is OWL's lambda.
/// @param outliers loss::outlier_share of each block
/// Source: Yin et al. 2023, arXiv 2310.05175, section 3.
SparsitySchedule owl_schedule(const std::vector<LayerInput>& layers,
                              const std::vector<double>& outliers, const ScheduleOptions& options);

/// Later blocks are sparser, in equal steps over 2 D. It is the control: it looks at nothing but
/// the depth.
SparsitySchedule depth_schedule(const std::vector<LayerInput>& layers,
                                const ScheduleOptions& options);

/// Gives every layer the number of zeros that it has. @param zeros by layer
SparsitySchedule kept_schedule(const std::vector<LayerInput>& layers,
                               const std::vector<int64_t>& zeros);

/// Reads {"layers": {name: sparsity}} or the "schedule" part of a report.
/// @throws Error(input) naming file and layer if a layer is missing or unknown, or its sparsity is
///         not in [0, 1].
SparsitySchedule read_schedule(const std::filesystem::path& path,
                               const std::vector<LayerInput>& layers);

/// The report's "schedule" part; read_schedule() reads it.
nlohmann::json schedule_json(const SparsitySchedule& schedule);

}  // namespace prune::schedule
