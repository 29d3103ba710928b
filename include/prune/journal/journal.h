#pragma once

#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/core/error.h>
#include <prune/dist/communicator.h>
#include <prune/journal/fingerprint.h>
#include <prune/journal/model_statistics.h>
#include <prune/journal/run_inputs.h>
#include <prune/journal/weight_form.h>
#include <prune/recovery/student.h>
#include <prune/report/run_report.h>

#include <optional>
#include <set>
#include <string>

namespace prune::journal {

/// File name of the report in the output folder.
inline constexpr const char* kReportName = "prune_report.json";

struct JournalOptions {
  std::filesystem::path output;
  bool overwrite = false;
  bool resume = false;
  bool strict = false;
  std::filesystem::path stats;  ///< statistics of an earlier run to reuse; empty: none
  Quantization quantization;
  bool packed = false;  ///< quantized weights are written as codes, else dequantized
  FingerprintOptions fingerprint;
};

/// What a run has finished, kept in DIR.partial so that a killed process loses no more than the layer or block
/// it was working on (src/journal/README.md, "Resume"). .prune-state.json holds the report so far in
/// prune_report.json's form: its fingerprint, and the SHA-256 of the written bytes of every finished layer.
/// With several ranks only rank 0 writes; it tells the others what is finished.
class Journal {
 public:
  /// Takes the output folder. With --resume, what an interrupted process of the same run finished is restored:
  /// layers whose bytes still match their record, perplexities, candidates, fallbacks, times, statistics.
  /// Otherwise the statistics come from --stats. The weight files are read for the fingerprint once the output
  /// folder is ours.
  /// @param header the report so far: command line, options, model, calibration, device, fallbacks
  /// @throws Error(input) naming the field in which the interrupted run differs, or if its statistics belong to
  ///         something else; Error(output) as CheckpointWriter.
  Journal(const RunInputs& inputs, const JournalOptions& options, report::RunReport header,
          dist::Communicator& comm);

  // What is finished.
  /// True when --resume found the finished output of this very run: nothing is left to do.
  bool finished() const { return finished_; }
  bool has(const std::string& layer) const { return layers_.contains(layer); }
  const std::optional<evaluation::PerplexityResult>& dense() const { return report_.dense; }
  const std::optional<evaluation::PerplexityResult>& pruned() const { return report_.pruned; }
  /// The schedules that --schedule auto has tried.
  const std::vector<report::ScheduleScore>& candidates() const { return report_.candidates; }
  /// Statistics of the blocks that need no further estimate.
  const ModelStatistics& statistics() const { return statistics_; }
  /// How far the recovery has come; nothing before its first measurement.
  const std::optional<report::RecoveryReport>& recovery() const { return report_.recovery; }
  /// The student as it was after so many steps, which record_recovery() has kept. Called by all ranks.
  void restore_(recovery::Student& student, int64_t step) const;
  /// One block of the student, which record_recovered_block() has kept.
  void restore_block_(recovery::Student& student, int64_t block) const;
  /// Gives the finished layers of a block their written weights. Called by all ranks.
  void restore_(models::Block& block, const models::Model& model) const;
  /// The same for one layer.
  void restore_(models::Linear& layer, const models::Model& model) const;

  // New results. Each record_ call returns once its result is on the disk (rank 0) or at once (other ranks).
  /// Lets the unfinished output stay if the run dies from here on.
  void keep() { record(); }
  void record_dense(evaluation::PerplexityResult result);
  void record_pruned(evaluation::PerplexityResult result);
  void record_candidate(report::ScheduleScore candidate);
  /// Replaces the earlier record of the same layer.
  void record_layer(report::LayerReport layer);
  /// Keeps one trained block of the student, the last one in `progress`.
  void record_recovered_block(report::RecoveryReport progress, const recovery::Student& student);
  /// Keeps the student's weights and moments for the last step and for the best one. The student is that of the last
  /// step in `progress`.
  void record_recovery(report::RecoveryReport progress, const recovery::Student& student);
  void record_statistics(const ModelStatistics& statistics);
  /// Puts the final statistics beside the shards; the next record makes them durable.
  void write_statistics(const ModelStatistics& statistics);
  /// Adds a fallback to the report, once. @throws Error(numeric) instead under --strict
  void add_fallback(report::Fallback fallback);
  /// @throws Error(numeric) under --strict
  void refuse_under_strict(const report::Fallback& fallback) const;
  void add_time(const std::string& phase, double elapsed_s);

  /// True on rank 0, the only rank with a writer.
  bool writes() const { return writer_.has_value(); }
  checkpoint::CheckpointWriter& writer() { return *writer_; }
  const WeightForm& form() const { return form_; }
  /// Folder of the unfinished output; scratch files live there.
  const std::filesystem::path& scratch() const { return folder_; }

  /// The report as far as the run has come. What only the end knows (ranks, output) is filled in there.
  report::RunReport& report() { return report_; }

  /// The error that ended the run, with advice: how to resume, how to need less memory.
  Error explain(const std::exception& exception) const;

 private:
  void open(const RunInputs& inputs);
  void tell_ranks(const RunInputs& inputs);
  void take_output(const RunInputs& inputs);
  void set_fingerprint(const RunInputs& inputs);
  void restore(const std::string& state);
  void keep_intact_layers();
  std::filesystem::path recovery_file(const std::string& of) const;
  void check_environment(const nlohmann::json& earlier);
  void record();

  JournalOptions options_;
  report::RunReport report_;
  dist::Communicator* comm_;
  WeightForm form_;
  std::optional<checkpoint::CheckpointWriter> writer_;
  ModelStatistics statistics_;
  std::set<std::string> layers_;
  std::filesystem::path folder_;
  bool finished_ = false;
  bool resumed_ = false;
  bool recorded_ = false;
};

}  // namespace prune::journal
