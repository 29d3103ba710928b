#include <prune/checkpoint/tensor_file.h>
#include <prune/core/as_error.h>
#include <prune/core/json_file.h>
#include <prune/core/kill_point.h>
#include <prune/core/memory.h>
#include <prune/core/version.h>
#include <prune/journal/journal.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace prune::journal {

namespace fs = std::filesystem;

namespace {

std::string file_of_step(int64_t step) { return fmt::format("step-{}", step); }
std::string file_of_block(int64_t block) { return fmt::format("block-{}", block); }

using Range = std::pair<int64_t, int64_t>;  // of blocks

void write_states(const fs::path& path, const recovery::Student& student, Range blocks) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (int64_t block = blocks.first; block < blocks.second; ++block) {
    for (const recovery::Student::TrainedLayer& layer : student.trained(block)) {
      tensors.emplace_back(layer.name, layer.kept.states());
    }
  }
  checkpoint::write_tensors(path, tensors);
}

void read_states_(const fs::path& path, recovery::Student& student, Range blocks) {
  const auto file = checkpoint::open_safetensors(path);
  std::map<std::string, size_t> positions;
  for (size_t i = 0; i < file->tensors().size(); ++i) positions[file->tensors()[i].name] = i;
  for (int64_t block = blocks.first; block < blocks.second; ++block) {
    for (recovery::Student::TrainedLayer& layer : student.trained(block)) {
      const auto found = positions.find(layer.name);
      const Tensor states = found == positions.end() ? Tensor() : file->load(found->second);
      if (!states.defined() || states.sizes() != layer.kept.states().sizes()) {
        throw Error(ErrorKind::kInput,
                    fmt::format("{}: '{}' does not fit the pruned layer; --overwrite starts again",
                                path.string(), layer.name));
      }
      layer.kept.set_states(states);
      file->drop(found->second);
    }
  }
}

}  // namespace

Journal::Journal(const RunInputs& inputs, const JournalOptions& options, report::RunReport header,
                 dist::Communicator& comm)
    : options_(options),
      report_(std::move(header)),
      comm_(&comm),
      form_(inputs.model, options.quantization, options.packed) {
  comm.enter("open");
  kill_point("before the output is opened");
  if (comm.rank() == 0) open(inputs);
  if (comm.size() > 1) tell_ranks(inputs);
}

void Journal::open(const RunInputs& inputs) {
  take_output(inputs);
  finished_ = writer_->finished();
  folder_ = finished_ ? writer_->folder() : writer_->partial_folder();
  keep_intact_layers();
  const fs::path own = folder_ / kStatisticsName;
  std::error_code failure;
  if (resumed_ && fs::exists(own, failure)) {
    statistics_ = read_statistics(own, report_.fingerprint, inputs.model, inputs.chosen);
  } else if (!options_.stats.empty()) {
    statistics_ = read_statistics(options_.stats, report_.fingerprint, inputs.model, inputs.chosen);
  }
  if (!statistics_.fallbacks.empty()) refuse_under_strict(statistics_.fallbacks.front());
}

void Journal::tell_ranks(const RunInputs& inputs) {
  json known;
  if (comm_->rank() == 0) {
    known = {{"report", report::to_json(report_)},
             {"statistics", statistics_json(statistics_, report_.fingerprint)},
             {"finished", finished_}};
  }
  known = parse_json(comm_->broadcast(json_text(known, -1), 0));
  folder_ = comm_->broadcast(folder_.string(), 0);
  if (comm_->rank() == 0) return;
  const json& told = known.at("report");
  const json mine = report::to_json(report_);
  if (told.at("calibration") != mine.at("calibration")) {
    throw Error(ErrorKind::kInput, fmt::format("calibration is {} on rank 0, but {} here",
                                               json_text(told.at("calibration"), -1),
                                               json_text(mine.at("calibration"), -1)));
  }
  std::error_code failure;
  if (!fs::is_directory(folder_, failure)) {
    throw Error(ErrorKind::kOutput,
                fmt::format("{}: rank 0 writes there, but this rank does not see it; --output must "
                            "lie where all ranks see it",
                            folder_.string()));
  }
  report_.fingerprint = told.at("fingerprint");
  report::restore_(report_, told);
  statistics_ =
      statistics_of(known.at("statistics"), report_.fingerprint, inputs.model, inputs.chosen);
  finished_ = known.at("finished").get<bool>();
  for (const report::LayerReport& layer : report_.layers) layers_.insert(layer.name);
}

void Journal::take_output(const RunInputs& inputs) {
  const auto check = [&](const std::string& state) {
    set_fingerprint(inputs);
    restore(state);
  };
  const auto take = [&](bool resume) {
    writer_.emplace(inputs.model.checkpoint(), options_.output,
                    checkpoint::WriterOptions{.overwrite = options_.overwrite,
                                              .resume = resume,
                                              .check_recorded = check,
                                              .replaced = form_.replaced(inputs.chosen)});
  };
  take(options_.resume);
  set_fingerprint(inputs);
  if (!writer_->finished()) return;
  const fs::path file = writer_->folder() / kReportName;
  try {
    restore(read_file(file));
  } catch (Error& error) {
    if (!options_.overwrite) throw error.in(file.string());
    take(/*resume=*/false);
  }
}

void Journal::set_fingerprint(const RunInputs& inputs) {
  if (!report_.fingerprint.is_null()) return;
  report_.fingerprint = run_fingerprint(inputs, options_.fingerprint, report_.options);
}

// Restores what an interrupted process of the same run reported.
void Journal::restore(const std::string& state) {
  const report::RunReport before = report_;
  try {
    const json earlier = parse_json(state);
    check_fingerprint(require<json>(earlier, "fingerprint"), report_.fingerprint);
    check_environment(earlier);
    report::restore_(report_, earlier);
    if (!report_.fallbacks.empty()) refuse_under_strict(report_.fallbacks.front());
    resumed_ = true;
  } catch (const Error& error) {
    report_ = before;
    throw Error(error.kind(), fmt::format("{}; --overwrite starts again", error.what()));
  }
}

// Another device or program may round differently, and then the bytes may differ.
void Journal::check_environment(const json& earlier) {
  const auto program = require<json>(earlier, "prune");
  const std::string begun = fmt::format(
      "{} by prune {} ({})", require<std::string>(earlier, "device"),
      require<std::string>(program, "version"), require<std::string>(program, "commit"));
  const std::string resumed =
      fmt::format("{} by prune {} ({})", report_.device, version(), commit());
  if (begun == resumed) return;
  const std::string what =
      fmt::format("begun on {}, resumed on {}: bytes may differ from those of an uninterrupted run",
                  begun, resumed);
  if (options_.strict) throw Error(ErrorKind::kDevice, what + "; refused by --strict");
  spdlog::warn("{}", what);
  report::add_fallback_(report_.fallbacks, {.where = "resume", .what = what});
}

// Counts the recorded layers as finished, up to the first one whose bytes did not survive on the disk.
void Journal::keep_intact_layers() {
  std::vector<report::LayerReport>& layers = report_.layers;
  // Recovery begins when all layers are pruned, and ends by writing them again: the kept states have them all.
  const bool recovering = report_.recovery && !finished();
  if (recovering) {
    for (const report::LayerReport& layer : layers) {
      form_.keep(*writer_, layer.name);
      layers_.insert(layer.name);
    }
  }
  for (auto layer = layers.begin(); layer != layers.end() && !finished() && !recovering; ++layer) {
    if (form_.read(*writer_, layer->name).sha256 != layer->sha256) {
      spdlog::warn(
          "{}: '{}' differs from what was written; it and all later layers are pruned again",
          folder_.string(), layer->name + ".weight");
      layers.erase(layer, layers.end());
      break;
    }
    form_.keep(*writer_, layer->name);
    layers_.insert(layer->name);
  }
  if (resumed_ && !layers.empty()) {
    spdlog::info("{}: {} layers are finished", folder_.string(), layers.size());
  }
}

void Journal::restore_(models::Block& block, const models::Model& model) const {
  for (models::Linear& layer : block.linears()) {
    if (layer.weight.defined()) restore_(layer, model);
  }
}

void Journal::restore_(models::Linear& layer, const models::Model& model) const {
  if (!has(layer.name)) return;
  Tensor stored = writes() ? form_.read(*writer_, layer.name).weight.contiguous()
                           : at::empty(layer.weight.sizes(), model.stored_dtype(layer.name));
  stored = stored.to(model.device());
  comm_->broadcast_(stored, 0, dist::Traffic::kWeights);
  layer.weight = stored.to(model.dtype());
}

void Journal::record_dense(evaluation::PerplexityResult result) {
  report_.dense = std::move(result);
  record();
}

void Journal::record_pruned(evaluation::PerplexityResult result) {
  report_.pruned = std::move(result);
  record();
}

void Journal::record_candidate(report::ScheduleScore candidate) {
  report_.candidates.push_back(std::move(candidate));
  record();
}

void Journal::record_layer(report::LayerReport layer) {
  const auto known = std::ranges::find(report_.layers, layer.name, &report::LayerReport::name);
  if (known == report_.layers.end()) {
    report_.layers.push_back(std::move(layer));
  } else {
    *known = std::move(layer);
  }
  record();
}

fs::path Journal::recovery_file(const std::string& of) const {
  return folder_ / fmt::format(".prune-recovery-{}.safetensors", of);
}

void Journal::record_recovered_block(report::RecoveryReport progress,
                                     const recovery::Student& student) {
  report_.recovery = std::move(progress);
  if (finished() || !writes()) return;
  const auto last = static_cast<int64_t>(report_.recovery->blocks.size()) - 1;
  write_states(recovery_file(file_of_block(last)), student, {last, last + 1});
  record();
}

void Journal::record_recovery(report::RecoveryReport progress, const recovery::Student& student) {
  report_.recovery = std::move(progress);
  if (finished() || !writes()) return;
  const int64_t last = report_.recovery->held_out.back().step;
  const int64_t best = report_.recovery->best().step;
  write_states(recovery_file(file_of_step(last)), student, {0, student.blocks()});
  kill_point("before a recovery step is recorded");
  record();
  std::error_code gone_already;
  for (const report::RecoveryReport::HeldOut& measured : report_.recovery->held_out) {
    if (measured.step == last || measured.step == best) continue;
    fs::remove(recovery_file(file_of_step(measured.step)), gone_already);
  }
  for (int64_t block = 0; block < student.blocks(); ++block) {
    fs::remove(recovery_file(file_of_block(block)), gone_already);
  }
}

void Journal::restore_(recovery::Student& student, int64_t step) const {
  comm_->barrier();  // rank 0 may still be writing the file
  read_states_(recovery_file(file_of_step(step)), student, {0, student.blocks()});
}

void Journal::restore_block_(recovery::Student& student, int64_t block) const {
  read_states_(recovery_file(file_of_block(block)), student, {block, block + 1});
}

void Journal::record_statistics(const ModelStatistics& statistics) {
  write_statistics(statistics);
  record();
}

void Journal::write_statistics(const ModelStatistics& statistics) {
  if (finished() || !writes()) return;
  const json file = statistics_json(statistics, report_.fingerprint);
  writer_->write_text(kStatisticsName, json_text(file, -1) + "\n");
}

void Journal::add_fallback(report::Fallback fallback) {
  refuse_under_strict(fallback);
  report::add_fallback_(report_.fallbacks, std::move(fallback));
}

void Journal::refuse_under_strict(const report::Fallback& fallback) const {
  if (!options_.strict) return;
  throw Error(ErrorKind::kNumeric,
              fmt::format("{}: {}; refused by --strict", fallback.where, fallback.what));
}

void Journal::add_time(const std::string& phase, double elapsed_s) {
  report_.elapsed_s[phase] += elapsed_s;
}

void Journal::record() {
  if (finished() || !writes()) return;
  report_.peak_host_bytes = std::max(report_.peak_host_bytes, peak_host_bytes());
  writer_->record(json_text(report::to_json(report_), -1) + "\n");
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
    message += fmt::format("; --resume continues from what is finished in {}",
                           writer_->partial_folder().string());
  }
  return {error.kind(), message};
}

}  // namespace prune::journal
