#pragma once

#include <prune/calibration/text_source.h>
#include <prune/core/progress.h>
#include <prune/dist/communicator.h>
#include <prune/evaluation/multiple_choice.h>
#include <prune/recovery/timetable.h>
#include <prune/report/run_report.h>
#include <prune/schedule/schedule.h>
#include <prune/solver/options.h>
#include <prune/stream/calibration_stream.h>
#include <prune/tokenizer/tokenizer.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prune::pipeline {

/// The model to run, and where.
struct ModelChoice {
  std::string id;                ///< as the user named it
  std::string hub_id = "";       ///< org/name; empty if a folder was named
  std::filesystem::path folder;  ///< where its files are
  std::string device = "auto";
  std::string dtype = "auto";  ///< computing dtype; auto: float32 on the CPU, the model's on CUDA
};

struct EvaluationChoice {
  std::optional<calibration::TextFile> text = {};  ///< none: no evaluation
  int64_t seqlen = 0;                              ///< 0: the model's, at most 2048
  int64_t segments = 0;                            ///< 0: all
  tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto;
  std::string chat_template = {};      ///< for rows of chats, as chat::TemplateChoice::name
  std::string loss_dtype = "float32";  ///< or "model"
};

/// Fewest calibration samples for the schedule `auto`: half of them prune, half of them measure.
inline constexpr int64_t kFewestForAuto = 16;

struct PruneOptions {
  ModelChoice model;
  double target = 0.7;
  schedule::ScheduleKind schedule = schedule::ScheduleKind::kKmeans;
  std::filesystem::path schedule_file;  ///< of ScheduleKind::kFile
  schedule::ScheduleOptions grouping;   ///< groups, spread, loss, level; its target is not read
  std::filesystem::path stats;          ///< statistics of an earlier run to reuse; empty: none
  std::vector<calibration::TextFile> calibration;  ///< share the samples by weight
  tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto;
  std::string chat_template;  ///< for rows of chats, as chat::TemplateChoice::name
  int64_t nsamples = 128;
  int64_t estimate_nsamples = 0;  ///< samples of the estimate pass; 0: a quarter, at least 8
  int64_t seqlen = 0;             ///< 0: the model's, at most 2048
  uint64_t seed = 0;
  stream::Order order = stream::Order::kSequential;
  // Fractions of whole units to remove.
  double blocks = 0.0;
  double experts = 0.0;  ///< of each block
  double heads = 0.0;    ///< key heads of each block, with their queries
  double ffn = 0.0;      ///< channels of each feed-forward
  bool removes_units() const { return blocks > 0.0 || experts > 0.0 || heads > 0.0 || ffn > 0.0; }
  stream::ExpertTokens expert_tokens = stream::ExpertTokens::kShrunk;
  double percdamp = 0.01;
  bool act_order = false;        ///< columns are visited in OPTQ's act order: hessian::factorize_
  solver::SolverOptions solver;  ///< its sparsity comes from the schedule
  recovery::RecoveryOptions recovery;
  std::optional<ModelChoice> teacher;  ///< of the recovery; none: the model itself, before pruning
  bool packed = false;                 ///< quantized weights are written as codes, else dequantized
  bool must_pack = false;              ///< it is an error if they cannot be
  std::string include = ".*";          ///< regular expressions over layer names
  std::string exclude;
  EvaluationChoice evaluation;
  std::filesystem::path output;
  std::filesystem::path report;  ///< a second copy of the report; empty: none
  bool overwrite = false;
  bool resume = false;  ///< continue what an interrupted process of the same run finished
  bool strict = false;
  bool deterministic = false;  ///< the same bytes for any number of ranks
};

/// Prunes a checkpoint from beginning to end. With several ranks, each runs its share of the samples and prunes
/// its share of every block's layers; rank 0 alone writes, and returns the whole report.
/// @param header what only the command line knows: command_line, options
/// @return the report, which also lies in the output folder
/// @throws Error; the output's place is empty then. What is finished stays in DIR.partial for `resume`, which
///         ends with the bytes of an uninterrupted run; only times, memory peaks and fallbacks in the report can
///         differ.
report::RunReport prune_run(const PruneOptions& options, report::RunReport header,
                            dist::Communicator& comm, Progress& progress);

struct EvaluateOptions {
  ModelChoice model;
  EvaluationChoice evaluation;
  bool strict = false;
};

/// Perplexity. Each rank runs its share of the segments; all return the result.
evaluation::PerplexityResult evaluate_run(const EvaluateOptions& options, dist::Communicator& comm,
                                          Progress& progress);

/// Accuracy on a file of multiple-choice items. Of `options.evaluation` it takes add_bos and chat_template only.
evaluation::MultipleChoiceResult evaluate_task(const EvaluateOptions& options,
                                               const std::filesystem::path& task,
                                               Progress& progress);

}  // namespace prune::pipeline
