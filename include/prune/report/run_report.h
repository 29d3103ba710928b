#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/core/version.h>
#include <prune/evaluation/perplexity.h>
#include <prune/models/model.h>
#include <prune/report/units_report.h>
#include <prune/schedule/schedule.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace prune::report {

/// A checkpoint before the run.
struct ModelDescription {
  std::string id = {};      ///< as the user named it: a folder, a short name or a hub id
  std::string hub_id = {};  ///< org/name on the hub; empty for a local folder
  std::string family = {};  ///< model_type in config.json
  int64_t blocks = 0;
  int64_t hidden_size = 0;
  int64_t parameters = 0;
  std::string dtype = {};            ///< of the stored weights, once they are dequantized
  std::string weight_format = {};    ///< of quantized weights: checkpoint::describe(); else empty
  std::string computing_dtype = {};  ///< in which the forward pass runs
  std::map<std::string, int64_t> files = {};  ///< name -> bytes

  /// The dtype, for quantized weights after their format.
  std::string weights() const {
    return weight_format.empty() ? dtype : weight_format + " read as " + dtype;
  }
};

/// The calibration samples.
struct TokensDescription {
  std::string source = {};
  int64_t nsamples = 0;
  int64_t seqlen = 0;
  std::string sha256 = {};                               ///< of the token ids
  std::vector<calibration::TextDescription> texts = {};  ///< how each text was read
  bool operator==(const TokensDescription&) const = default;
};

/// The finished checkpoint.
struct OutputDescription {
  std::string folder = {};
  int64_t size_bytes = 0;
  std::map<std::string, int64_t> files = {};  ///< name -> bytes
};

struct LayerReport {
  std::string name;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t group = 0;  ///< of the schedule
  double sparsity_asked = 0.0;
  int64_t zeros_before = 0;              ///< counted in the source's tensor
  int64_t zeros_freed = 0;               ///< of them, not zero any more (--free-zeros)
  int64_t zeros = 0;                     ///< counted in the written tensor
  int64_t rounded_to_zero = 0;           ///< zeros among them that quantization made
  std::optional<double> loss_estimated;  ///< at sparsity_asked; absent without an estimate pass
  std::optional<double> energy;          ///< tr(W H Wᵀ) of the dense weight W
  std::optional<int64_t> tokens;  ///< of an expert: calibration tokens that the router sends to it
  double loss_measured = 0.0;
  double loss_rounding = 0.0;  ///< share of loss_measured due to quantization; the rest is pruning
  double damp_used = 0.0;
  int64_t damp_raises = 0;  ///< times the damping was raised before the Hessian could be factored
  int64_t admm_steps = 0;   ///< these three: see solver::PruneResult
  int64_t refine_steps = 0;
  double refine_residual = 1.0;
  std::string sha256;  ///< of the bytes written
  double elapsed_s = 0.0;

  double sparsity_reached() const {
    return static_cast<double>(zeros) / static_cast<double>(rows * cols);
  }
  /// The first number between two dots of the name; 0 if it has none.
  int64_t block() const;
};

/// Result of one schedule that --schedule auto tried, on held-out calibration samples.
struct ScheduleScore {
  std::string kind;
  double spread = 0.0;
  std::vector<double> losses = {};  ///< mean loss of each held-out sample
  double perplexity = 0.0;
};

/// How the kept weights learnt from the dense model. Losses are KL(dense ‖ pruned) per token, in nats.
struct RecoveryReport {
  /// The mean loss of the samples that are not trained on, after so many steps.
  struct HeldOut {
    int64_t step = 0;  ///< of the blocks and the model together
    double loss = 0.0;
  };

  std::string teacher = {};  ///< the dense model, as the user named it
  std::string scope = {};    ///< model, block or both: src/recovery/README.md
  int64_t steps = 0;         ///< asked for
  int64_t batch = 0;         ///< samples in a step
  double rate = 0.0;
  std::string dtype = {};  ///< of the products
  int64_t trained_samples = 0;
  int64_t held_out_samples = 0;
  /// By finished block: the relative squared error of its output on the samples of its first and of its last step.
  struct BlockErrors {
    double before = 0.0;
    double after = 0.0;
  };
  std::vector<BlockErrors> blocks = {};
  std::vector<double> losses = {};     ///< of each of the model's steps' samples, before the step
  std::vector<HeldOut> held_out = {};  ///< the first is that before recovery
  double elapsed_s = 0.0;

  /// The measurement with the smallest loss: its weights are in the output.
  const HeldOut& best() const;
};

/// Which experts were removed, and why.
struct ExpertsReport {
  double removed_fraction = 0.0;  ///< asked for
  struct Block {
    std::vector<int64_t> kept =
        {};  ///< numbers in the source, ascending; empty in a block without experts
    std::vector<double> scores = {};   ///< by expert of the source: mean of gate · |output|
    std::vector<int64_t> tokens = {};  ///< calibration tokens that the expert gets
  };
  std::vector<Block> blocks = {};
  /// Perplexity of the model with all of its experts and with those that stay, on calibration samples that did not
  /// choose them; absent if no sample could be spared.
  struct HeldOut {
    int64_t samples = 0;
    double perplexity_before = 0.0;
    double perplexity_after = 0.0;
  };
  std::optional<HeldOut> held_out = {};

  /// By block, the experts that stay.
  std::vector<std::vector<int64_t>> kept() const;
};

/// Something not done as asked; an error under --strict.
struct Fallback {
  std::string where;
  std::string what;
  bool operator==(const Fallback&) const = default;
};

/// Appends `fallback` unless the list has it: a resumed run meets the same fallbacks again.
void add_fallback_(std::vector<Fallback>& fallbacks, Fallback fallback);

/// Work of one rank since the run was last started or resumed.
struct RankReport {
  int64_t samples = 0;         ///< of the calibration set
  int64_t hessian_tokens = 0;  ///< rows of activations added to Hessians
  double hessian_flops = 0.0;
  int64_t sent_hessian_bytes = 0;
  int64_t sent_weight_bytes = 0;
  int64_t sent_other_bytes = 0;
  int64_t peak_host_bytes = 0;
};

/// Everything that prune_report.json says about one run (src/report/README.md, "prune_report.json").
/// The pipeline fills it; it reads nothing in it to decide what to do next, but for the experts of a resumed run.
struct RunReport {
  std::string prune_version = version();  ///< of the program that wrote the report
  std::string prune_commit = commit();
  std::string command_line;
  nlohmann::json options;  ///< every option, under the command line's name for it
  ModelDescription model;
  TokensDescription calibration;
  nlohmann::json fingerprint;  ///< all that the output bytes follow from; --resume compares it
  std::string device;
  int64_t world_size = 1;
  std::vector<ScheduleScore> candidates;  ///< of --schedule auto
  schedule::SparsitySchedule schedule;
  std::vector<LayerReport> layers;
  std::optional<ExpertsReport> experts;    ///< absent without --experts
  std::optional<UnitsReport> units;        ///< absent without --blocks, --heads and --ffn
  std::optional<RecoveryReport> recovery;  ///< absent without --recover
  std::vector<Fallback> fallbacks;
  std::optional<evaluation::PerplexityResult> dense;
  std::optional<evaluation::PerplexityResult> pruned;
  std::map<std::string, double> elapsed_s;  ///< by phase
  int64_t peak_host_bytes = 0;
  int64_t peak_device_bytes = 0;
  std::optional<OutputDescription> output;  ///< absent until the run is finished
  std::vector<RankReport> ranks;            ///< by rank; empty until the run is finished

  /// {pruning, rounding}: loss_measured summed over the layers, split by cause.
  std::pair<double, double> losses() const;
  int64_t weights() const;
  int64_t zeros() const;
};

/// prune_report.json, "schema": 1.
nlohmann::json to_json(const RunReport& report);

/// Reads what to_json() wrote, by this version of prune or an earlier one: keys that were added to
/// schema 1 later may be absent (src/report/README.md, "prune_report.json"). The schedule has only layers
/// that are finished: the JSON gives their number of weights nowhere else.
/// @throws Error(input) naming the key that is missing or has the wrong type.
RunReport read_report(const nlohmann::json& report);

/// Continues the report of an earlier process of the same run. Command line, options, device, layers,
/// candidates, perplexities and output are the earlier ones; times are added up; peaks are the larger
/// ones; fallbacks of both are kept. The schedule is not restored.
/// @throws Error(input) as read_report().
void restore_(RunReport& report, const nlohmann::json& earlier);

nlohmann::json to_json(const LayerReport& layer);
/// Inverse of to_json(LayerReport). @throws Error(input) as read_report().
LayerReport layer_report(const nlohmann::json& layer);

nlohmann::json to_json(const ModelDescription& model);
nlohmann::json to_json(const TokensDescription& tokens);
nlohmann::json to_json(const OutputDescription& output);

nlohmann::json fallbacks_json(const std::vector<Fallback>& fallbacks);
/// Inverse of fallbacks_json(). @throws Error(input) as read_report().
std::vector<Fallback> fallbacks_of(const nlohmann::json& list);

/// @param id as the user named the model
ModelDescription describe_model(const models::Model& model, const std::string& id);
TokensDescription describe_tokens(const calibration::TokenSet& tokens);
/// The guesses made when the texts were read.
std::vector<Fallback> guesses_of(const calibration::TokenSet& tokens);

/// "128 x 2048 tokens of a.jsonl (86), b.txt (42)".
/// @param last_names  paths without their folders
std::string calibration_line(const TokensDescription& tokens, bool last_names = false);

/// How many experts stay, and the share of the tokens' choices that fell on those that go.
std::string experts_line(const ExpertsReport& experts);

/// Kind, mean sparsity and range of a schedule in one line.
std::string schedule_line(const schedule::SparsitySchedule& schedule);

/// schedule_line(), a table of groups and one bar per block.
std::string schedule_table(const schedule::SparsitySchedule& schedule);

/// Sparsity, perplexities, time, memory, fallbacks and output folder, for people.
std::string summary_table(const RunReport& report);

}  // namespace prune::report
