#include "journal.h"

#include <prune/core/as_error.h>
#include <prune/core/json_file.h>
#include <prune/core/kill_point.h>
#include <prune/core/memory.h>
#include <prune/core/version.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "fingerprint.h"

namespace prune::pipeline {
namespace {

namespace fs = std::filesystem;

// Another device or program may round differently: then equal bytes can no longer be promised.
void check_environment(const json& earlier, const PruneOptions& options,
                       report::RunReport& report) {
  const auto program = require<json>(earlier, "prune");
  const std::string begun = fmt::format(
      "{} by prune {} ({})", require<std::string>(earlier, "device"),
      require<std::string>(program, "version"), require<std::string>(program, "commit"));
  const std::string resumed =
      fmt::format("{} by prune {} ({})", report.device, version(), commit());
  if (begun == resumed) return;
  const std::string what =
      fmt::format("begun on {}, resumed on {}: bytes may differ from those of an uninterrupted run",
                  begun, resumed);
  if (options.strict) throw Error(ErrorKind::kDevice, what + "; refused by --strict");
  spdlog::warn("{}", what);
  report::add_fallback_(report.fallbacks, {.where = "resume", .what = what});
}

void refuse_fallbacks(const std::vector<report::Fallback>& fallbacks) {
  if (fallbacks.empty()) return;
  throw Error(ErrorKind::kNumeric, fmt::format("{}: {}; refused by --strict",
                                               fallbacks.front().where, fallbacks.front().what));
}

}  // namespace

Journal::Journal(const Inputs& inputs, const PruneOptions& options, report::RunReport& report,
                 dist::Communicator& comm)
    : report_(&report), comm_(&comm), form_(inputs.model, options) {
  comm.enter("open");
  kill_point("before the output is opened");
  if (comm.rank() == 0) open(inputs, options);
  if (comm.size() > 1) tell_ranks(inputs);
}

void Journal::open(const Inputs& inputs, const PruneOptions& options) {
  take_output(inputs, options);
  finished_ = writer_->finished();
  folder_ = finished_ ? writer_->folder() : writer_->partial_folder();
  keep_intact_layers();
  const fs::path own = folder_ / kStatisticsName;
  std::error_code failure;
  if (resumed_ && fs::exists(own, failure)) {
    statistics_ = read_statistics(own, report_->fingerprint, inputs.model, inputs.chosen);
  } else if (!options.stats.empty()) {
    statistics_ = read_statistics(options.stats, report_->fingerprint, inputs.model, inputs.chosen);
  }
  if (options.strict) refuse_fallbacks(statistics_.fallbacks);
}

void Journal::tell_ranks(const Inputs& inputs) {
  json known;
  if (comm_->rank() == 0) {
    known = {{"report", report::to_json(*report_)},
             {"statistics", statistics_json(statistics_, report_->fingerprint)},
             {"finished", finished_}};
  }
  known = parse_json(comm_->broadcast(json_text(known, -1), 0));
  folder_ = comm_->broadcast(folder_.string(), 0);
  if (comm_->rank() == 0) return;
  const json& report = known.at("report");
  const json calibration = report::to_json(report_->calibration);
  if (report.at("calibration") != calibration) {
    throw Error(ErrorKind::kInput,
                fmt::format("calibration is {} on rank 0, but {} here",
                            json_text(report.at("calibration"), -1), json_text(calibration, -1)));
  }
  std::error_code failure;
  if (!fs::is_directory(folder_, failure)) {
    throw Error(ErrorKind::kOutput,
                fmt::format("{}: rank 0 writes there, but it is not here; --output must lie where "
                            "all ranks see it",
                            folder_.string()));
  }
  report_->fingerprint = report.at("fingerprint");
  report::restore_(*report_, report);
  statistics_ =
      statistics_of(known.at("statistics"), report_->fingerprint, inputs.model, inputs.chosen);
  finished_ = known.at("finished").get<bool>();
  for (const report::LayerReport& layer : report_->layers) layers_.insert(layer.name);
}

void Journal::take_output(const Inputs& inputs, const PruneOptions& options) {
  const auto check = [&](const std::string& state) {
    set_fingerprint(inputs, options);
    restore(state, options);
  };
  const auto take = [&](bool resume) {
    writer_.emplace(inputs.model.checkpoint(), options.output,
                    checkpoint::WriterOptions{.overwrite = options.overwrite,
                                              .resume = resume,
                                              .check_recorded = check,
                                              .replaced = form_.replaced(inputs.chosen)});
  };
  take(options.resume);
  set_fingerprint(inputs, options);
  if (!writer_->finished()) return;
  const fs::path file = writer_->folder() / kReportName;
  try {
    restore(read_file(file), options);
  } catch (Error& error) {
    if (!options.overwrite) throw error.in(file.string());
    take(/*resume=*/false);
  }
}

void Journal::set_fingerprint(const Inputs& inputs, const PruneOptions& options) {
  if (!report_->fingerprint.is_null()) return;
  report_->fingerprint = run_fingerprint(inputs, options, report_->options);
}

// Takes over what a dead process of the same run reported.
void Journal::restore(const std::string& state, const PruneOptions& options) {
  try {
    const json earlier = parse_json(state);
    check_fingerprint(require<json>(earlier, "fingerprint"), report_->fingerprint);
    report::RunReport restored = *report_;
    check_environment(earlier, options, restored);
    report::restore_(restored, earlier);
    if (options.strict) refuse_fallbacks(restored.fallbacks);
    *report_ = std::move(restored);
    resumed_ = true;
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}; --overwrite starts again", error.what()));
  }
}

// Counts the layers that were finished and recorded as done, up to one whose bytes a disk has lost.
void Journal::keep_intact_layers() {
  std::vector<report::LayerReport>& layers = report_->layers;
  for (auto layer = layers.begin(); layer != layers.end() && !finished(); ++layer) {
    if (form_.read(*writer_, layer->name).sha256 != layer->sha256) {
      spdlog::warn("{}: '{}' is not what was written; it and what follows is pruned again",
                   folder_.string(), layer->name + ".weight");
      layers.erase(layer, layers.end());
      break;
    }
    form_.keep(*writer_, layer->name);
    layers_.insert(layer->name);
  }
  if (resumed_) {
    spdlog::info("{}: {} layers are finished", folder_.string(), layers.size());
  }
}

void Journal::restore_(models::Block& block, const models::Model& model) const {
  for (models::Linear& layer : block.linears()) {
    if (!has(layer.name)) continue;
    Tensor stored = writes() ? form_.read(*writer_, layer.name).weight.contiguous()
                             : at::empty(layer.weight.sizes(), model.stored_dtype());
    stored = stored.to(model.device());
    comm_->broadcast_(stored, 0, dist::Traffic::kWeights);
    layer.weight = stored.to(model.dtype());
  }
}

void Journal::write(const ModelStatistics& statistics) {
  if (finished() || !writes()) return;
  const json file = statistics_json(statistics, report_->fingerprint);
  writer_->write_text(kStatisticsName, json_text(file, -1) + "\n");
}

void Journal::record(const ModelStatistics& statistics) {
  write(statistics);
  record();
}

void Journal::record() {
  if (finished() || !writes()) return;
  report_->peak_host_bytes = std::max(report_->peak_host_bytes, peak_host_bytes());
  writer_->record(json_text(report::to_json(*report_), -1) + "\n");
  recorded_ = true;
}

Error Journal::explain(const std::exception& exception) const {
  const Error error = as_error(exception);
  std::string message = error.what();
  const bool lost = dynamic_cast<const dist::LostRank*>(&exception) != nullptr;
  if (error.kind() == ErrorKind::kDevice && !lost) {
    message += "; fewer --nsamples or a shorter --seqlen need less";
  }
  if (resumed_ || recorded_) {
    message += fmt::format("; --resume goes on from what is finished in {}",
                           writer_->partial_folder().string());
  }
  return {error.kind(), message};
}

}  // namespace prune::pipeline
