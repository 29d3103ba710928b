#pragma once

#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/core/error.h>
#include <prune/pipeline/prune_run.h>

#include <optional>
#include <set>
#include <string>

#include "inputs.h"
#include "model_statistics.h"
#include "weight_form.h"

namespace prune::pipeline {

/// Name of the report in the output folder.
inline constexpr const char* kReportName = "prune_report.json";

/// What a run has finished, kept in DIR.partial so that a process that dies loses no more than the layer
/// or block at hand (DESIGN §5). state.json holds the report so far, in prune_report.json's form: its
/// fingerprint, and for every finished layer the SHA-256 of the bytes written. Of several ranks only rank
/// 0 writes and knows the files; the others are told what they need.
class Journal {
 public:
  /// Takes the output folder. With --resume, what a dead process of the same run finished is put back
  /// into `report`, whose options and device are set: layers whose bytes are still those recorded,
  /// perplexities, fallbacks, times; and its statistics. Else the statistics are --stats'. The report
  /// gets its fingerprint, for which the weight files are read, once the output folder is ours.
  /// @throws Error(input) naming the field by which the dead run was another one, or whose statistics
  ///         are of something else; Error(output) as CheckpointWriter.
  Journal(const Inputs& inputs, const PruneOptions& options, report::RunReport& report,
          dist::Communicator& comm);

  /// True on rank 0, and only there is a writer.
  bool writes() const { return writer_.has_value(); }
  checkpoint::CheckpointWriter& writer() { return *writer_; }
  const WeightForm& form() const { return form_; }
  /// True when --resume found the finished output of this very run: there is nothing left to do.
  bool finished() const { return finished_; }
  /// Folder of the unfinished output, for what need not outlive the process.
  const std::filesystem::path& scratch() const { return folder_; }

  /// Statistics of the blocks that need no estimate any more.
  const ModelStatistics& statistics() const { return statistics_; }
  /// True for a layer that the dead process finished.
  bool has(const std::string& layer) const { return layers_.contains(layer); }
  /// Gives those layers of the block the weights that were written. Called by all ranks.
  void restore_(models::Block& block, const models::Model& model) const;

  /// Puts the statistics beside the shards.
  void write(const ModelStatistics& statistics);
  /// Notes durably that the statistics have come so far.
  void record(const ModelStatistics& statistics);
  /// Notes durably what the report says now, whose layers were written before.
  void record();

  /// The error that ended the run, with what helps: how to go on, how to need less memory.
  Error explain(const std::exception& exception) const;

 private:
  void open(const Inputs& inputs, const PruneOptions& options);
  void tell_ranks(const Inputs& inputs);
  void take_output(const Inputs& inputs, const PruneOptions& options);
  void set_fingerprint(const Inputs& inputs, const PruneOptions& options);
  void restore(const std::string& state, const PruneOptions& options);
  void keep_intact_layers();

  report::RunReport* report_;
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

}  // namespace prune::pipeline
