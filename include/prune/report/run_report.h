#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/evaluation/perplexity.h>
#include <prune/models/model.h>
#include <prune/schedule/schedule.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace prune::report {

struct LayerReport {
  std::string name;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t group = 0;
  double sparsity_asked = 0.0;
  int64_t zeros = 0;                     ///< counted in the written tensor
  int64_t rounded_to_zero = 0;           ///< of these kept weights that quantization made zero
  std::optional<double> loss_estimated;  ///< at the asked sparsity; absent without an estimate pass
  std::optional<double> energy;
  double loss_measured = 0.0;
  double loss_rounding = 0.0;  ///< the part of it that quantization adds; the rest is pruning's
  double damp_used = 0.0;
  int64_t admm_steps = 0;  ///< solver::PruneResult says more of these three
  int64_t refine_steps = 0;
  double refine_residual = 1.0;
  std::string sha256;  ///< of the bytes written
  double elapsed_s = 0.0;

  double sparsity_reached() const {
    return static_cast<double>(zeros) / static_cast<double>(rows * cols);
  }
};

/// How a schedule that --schedule auto tried did on held-out calibration text.
struct ScheduleScore {
  std::string kind;
  double spread = 0.0;
  std::vector<double> losses = {};  ///< mean loss of each held-out sample
  double perplexity = 0.0;
};

/// Something that was not done as asked; an error under --strict.
struct Fallback {
  std::string where;
  std::string what;
  bool operator==(const Fallback&) const = default;
};

/// Adds one that is not there yet: a run that was resumed meets some again.
void add_fallback_(std::vector<Fallback>& fallbacks, Fallback fallback);

/// What one of the ranks of a run did, from the last start of the run on.
struct RankReport {
  int64_t samples = 0;         ///< of the calibration set
  int64_t hessian_tokens = 0;  ///< rows of layer inputs that went into Hessians
  double hessian_flops = 0.0;
  int64_t sent_hessian_bytes = 0;
  int64_t sent_weight_bytes = 0;
  int64_t sent_other_bytes = 0;
  int64_t peak_host_bytes = 0;
};

/// Everything about one run (DESIGN §6): filled by the pipeline, printed and written from here.
struct RunReport {
  std::string command_line;
  nlohmann::json options;  ///< in full, with the command line's words
  nlohmann::json model;
  nlohmann::json calibration;
  nlohmann::json fingerprint;  ///< what the output's bytes follow from; --resume compares it
  std::string device;
  int64_t world_size = 1;
  std::vector<ScheduleScore> candidates;  ///< of --schedule auto
  schedule::SparsitySchedule schedule;
  std::vector<LayerReport> layers;
  std::vector<Fallback> fallbacks;
  std::optional<evaluation::PerplexityResult> dense;
  std::optional<evaluation::PerplexityResult> pruned;
  std::map<std::string, double> elapsed_s;  ///< by phase
  int64_t peak_host_bytes = 0;
  int64_t peak_device_bytes = 0;
  nlohmann::json output;
  std::vector<RankReport> ranks;  ///< by rank; one at least when the run is over

  /// Sums over the layers: what pruning lost, and what rounding did.
  std::pair<double, double> losses() const;
  int64_t weights() const;
  int64_t zeros() const;
};

/// prune_report.json, "schema": 1.
nlohmann::json to_json(const RunReport& report);

/// Takes over what an earlier process of the same run has reported in to_json()'s form: command line,
/// options, device, layers, perplexities and what else is done only once; times, peaks and fallbacks
/// of both. The schedule is not taken over.
/// @throws Error(input) naming the key that is missing or of another type.
void restore_(RunReport& report, const nlohmann::json& earlier);

nlohmann::json to_json(const LayerReport& layer);
/// The reverse. @throws Error(input) as restore_()
LayerReport layer_report(const nlohmann::json& layer);

nlohmann::json fallbacks_json(const std::vector<Fallback>& fallbacks);
std::vector<Fallback> fallbacks_of(const nlohmann::json& list);

nlohmann::json describe_model(const models::Model& model, const std::string& id);
nlohmann::json describe_tokens(const calibration::TokenSet& tokens);

/// The schedule in one line.
std::string schedule_line(const schedule::SparsitySchedule& schedule);

/// The same with a table of groups and one bar per block.
std::string schedule_table(const schedule::SparsitySchedule& schedule);

/// Sparsity, perplexities, time, memory, fallbacks and the place of the output, for people.
std::string summary_table(const RunReport& report);

}  // namespace prune::report
