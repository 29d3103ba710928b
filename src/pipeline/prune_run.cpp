#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/model_card.h>
#include <spdlog/spdlog.h>

#include "estimate_pass.h"
#include "make_schedule.h"
#include "prune_pass.h"
#include "stopwatch.h"

namespace prune::pipeline {
namespace {

// Times what runs until it is told the next phase.
class PhaseClock {
 public:
  explicit PhaseClock(report::RunReport& report) : report_(&report) {}
  void end(const std::string& phase) {
    report_->elapsed_s[phase] += watch_.elapsed_s();
    watch_ = Stopwatch();
  }

 private:
  report::RunReport* report_;
  Stopwatch watch_;
};

nlohmann::json describe_output(const checkpoint::CheckpointWriter& writer) {
  nlohmann::json files = nlohmann::json::object();
  int64_t size_bytes = 0;
  for (const checkpoint::WrittenFile& file : writer.files()) {
    files[file.name] = file.size_bytes;
    size_bytes += file.size_bytes;
  }
  return {{"folder", writer.folder().string()}, {"bytes", size_bytes}, {"files", files}};
}

std::string source_license(const models::Model& model) {
  const std::filesystem::path card = model.checkpoint().folder() / "README.md";
  return std::filesystem::exists(card) ? report::license_of(read_file(card)) : "";
}

void check_device(const PruneOptions& options, report::RunReport& report) {
  const std::string passed_over = device_passed_over(options.model.device);
  if (passed_over.empty()) return;
  if (options.strict) throw Error(ErrorKind::kDevice, passed_over + "; refused by --strict");
  spdlog::warn("{}", passed_over);
  report.fallbacks.push_back({.where = "device", .what = passed_over});
}

void describe_inputs(const Inputs& inputs, const PruneOptions& options, report::RunReport& report) {
  const models::Model& model = inputs.model;
  report.model = report::describe_model(model, options.model.id);
  if (!options.model.hub_id.empty()) report.model["hub_id"] = options.model.hub_id;
  report.calibration = report::describe_tokens(inputs.tokens);
  report.device = device_description(model.device());
  spdlog::info("{}: {} blocks, {}, computing in {} on {}", options.model.id, model.config().blocks,
               dtype_name(model.stored_dtype()), dtype_name(model.dtype()), report.device);
  check_device(options, report);
}

// The algorithm: every step is skipped that the journal knows as done.
void prune_steps(const Inputs& inputs, const PruneOptions& options, Journal& journal,
                 report::RunReport& report, PhaseClock& clock, Progress& progress) {
  const auto& [model, chosen, tokens, evaluation] = inputs;
  checkpoint::CheckpointWriter& writer = journal.writer();
  const auto perplexity_of = [&](const models::Model& measured) {
    return evaluation::perplexity(measured, *inputs.evaluation,
                                  perplexity_options(options.evaluation, writer.partial_folder()),
                                  progress);
  };
  if (evaluation && !report.dense) {
    report.dense = perplexity_of(model);
    spdlog::info("perplexity dense {:.2f}", report.dense->perplexity);
    clock.end("evaluate");
    journal.record();
  }

  ModelStatistics statistics = journal.statistics();
  if (needs_estimates(options) && statistics.blocks() < model.config().blocks) {
    statistics = estimate_pass(model, tokens, chosen, options, journal, progress);
    clock.end("estimate");
  }
  for (const report::Fallback& f : statistics.fallbacks) report::add_fallback_(report.fallbacks, f);
  report.schedule = make_schedule(inputs, statistics, options, journal, report, progress);
  if (!report.candidates.empty()) clock.end("score");
  spdlog::info("{}", report::schedule_line(report.schedule));
  if (journal.finished()) return;

  if (!statistics.layers.empty()) journal.write(statistics);
  prune_pass(model, tokens, report.schedule, statistics, options, journal, report, progress);
  clock.end("prune");
  const std::string config = journal.form().config(chosen);
  if (!config.empty()) writer.write_text("config.json", config);
  writer.copy_rest();
  clock.end("write");

  if (evaluation && !report.pruned) {
    ModelChoice written = options.model;
    written.folder = writer.partial_folder();
    report.pruned = perplexity_of(open_model(written));
    spdlog::info("perplexity pruned {:.2f}", report.pruned->perplexity);
    clock.end("evaluate");
    journal.record();
  }
  report.peak_host_bytes = std::max(report.peak_host_bytes, peak_host_bytes());
  report.peak_device_bytes = std::max(report.peak_device_bytes, peak_device_bytes(model.device()));
  report.output = describe_output(writer);
  writer.write_text("README.md", report::model_card(report, source_license(model)));
  writer.write_text(kReportName, json_text(report::to_json(report)) + "\n");
  writer.commit();
}

}  // namespace

report::RunReport prune_run(const PruneOptions& options, report::RunReport report,
                            Progress& progress) {
  PhaseClock clock(report);
  const Inputs inputs = open_inputs(options);
  describe_inputs(inputs, options, report);
  Journal journal(inputs, options, report);
  clock.end("open");
  try {
    prune_steps(inputs, options, journal, report, clock, progress);
  } catch (const std::exception& exception) {
    throw journal.explain(exception);
  }
  if (!options.report.empty()) {
    write_file(options.report, read_file(journal.writer().folder() / kReportName));
  }
  return report;
}

evaluation::PerplexityResult evaluate_run(const EvaluateOptions& options, Progress& progress) {
  const models::Model model = open_model(options.model);
  const auto tokenizer = calibration::load_tokenizer(options.model.folder);
  return evaluation::perplexity(
      model, evaluation_tokens(model, *tokenizer, options.evaluation),
      perplexity_options(options.evaluation, std::filesystem::temp_directory_path()), progress);
}

evaluation::MultipleChoiceResult evaluate_task(const ModelChoice& choice,
                                               const std::filesystem::path& task,
                                               Progress& progress) {
  const auto items = evaluation::read_task(task);
  const models::Model model = open_model(choice);
  const auto tokenizer = calibration::load_tokenizer(choice.folder);
  evaluation::MultipleChoiceResult result = evaluation::multiple_choice(
      model, *tokenizer, items, std::filesystem::temp_directory_path(), progress);
  result.source = task.string();
  return result;
}

}  // namespace prune::pipeline
