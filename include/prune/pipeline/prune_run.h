#pragma once

#include <prune/calibration/text_source.h>
#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/evaluation/multiple_choice.h>
#include <prune/report/run_report.h>
#include <prune/schedule/schedule.h>
#include <prune/solver/options.h>

#include <filesystem>
#include <optional>
#include <string>

namespace prune::pipeline {

/// What to run a model on and with; shared by all run kinds.
struct ModelChoice {
  std::string id;                ///< as the user named it
  std::string hub_id = "";       ///< org/name; empty if a folder was named
  std::filesystem::path folder;  ///< where it lies
  std::string device = "auto";
  std::string dtype = "auto";  ///< computing dtype; auto: float32 on the CPU, the model's on CUDA
};

struct EvaluationChoice {
  std::optional<calibration::TextFile> text = {};  ///< none: no evaluation
  int64_t seqlen = 0;                              ///< 0: the model's, at most 2048
  int64_t segments = 0;                            ///< 0: all
  std::string loss_dtype = "float32";              ///< or "model"
};

/// Samples that the schedule `auto` needs at least: half of them to prune with, half to measure with.
inline constexpr int64_t kFewestForAuto = 16;

/// When the layers of a block are pruned.
enum class Order {
  kSequential,  ///< after all before them in the block: GPTQ's true-sequential; one forward a block
  kBlock,       ///< all Hessians of a block come from its dense weights: SparseGPT's; two forwards
};

struct PruneOptions {
  ModelChoice model;
  double target = 0.7;
  std::string schedule = "kmeans";  ///< kmeans, uniform, auto, owl, depth, file:PATH
  std::filesystem::path stats;      ///< estimate pass of an earlier run to use again; empty: none
  schedule::ScheduleOptions rule;   ///< groups, spread, loss, level
  calibration::TextFile calibration;
  int64_t nsamples = 128;
  int64_t estimate_nsamples = 0;  ///< of them, for the estimate pass; 0: a quarter, 8 at least
  int64_t seqlen = 0;             ///< 0: the model's, at most 2048
  uint64_t seed = 0;
  Order order = Order::kSequential;
  double percdamp = 0.01;
  bool act_order = false;        ///< columns go in OPTQ's act order: hessian::factorize_
  solver::SolverOptions solver;  ///< its sparsity comes from the schedule
  bool packed = false;           ///< quantized weights are written as such, else dequantized
  std::string include = ".*";    ///< regular expressions over layer names
  std::string exclude;
  EvaluationChoice evaluation;
  std::filesystem::path output;
  std::filesystem::path report;  ///< empty: prune_report.json in the output folder
  bool overwrite = false;
  bool resume = false;  ///< go on with what a dead process of the same run finished
  bool strict = false;
  bool deterministic = false;  ///< the same bytes for any number of ranks
};

/// Prunes a checkpoint from beginning to end. Of several ranks each runs its share of the samples and solves
/// its share of every block's layers; rank 0 alone writes, and returns the whole report. `header` brings what only the command line knows
/// (command_line, options); the finished report is returned and lies in the output folder.
/// @throws Error; nothing is left in the output's place then. What is finished stays in DIR.partial for
///         `resume`, which ends with the bytes of an uninterrupted run; only times, peaks of memory and
///         fallbacks in the report can differ.
report::RunReport prune_run(const PruneOptions& options, report::RunReport header,
                            dist::Communicator& comm, Progress& progress);

struct EvaluateOptions {
  ModelChoice model;
  EvaluationChoice evaluation;
};

/// Each rank runs its share of the segments; all return the result.
evaluation::PerplexityResult evaluate_run(const EvaluateOptions& options, dist::Communicator& comm,
                                          Progress& progress);

/// Accuracy on a `.jsonl` of multiple-choice items.
evaluation::MultipleChoiceResult evaluate_task(const ModelChoice& choice,
                                               const std::filesystem::path& task,
                                               Progress& progress);

}  // namespace prune::pipeline
