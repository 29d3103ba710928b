#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/pipeline/prune_run.h>
#include <spdlog/spdlog.h>

#include <fstream>

#include "estimate_pass.h"
#include "inputs.h"
#include "prune_pass.h"
#include "stopwatch.h"

namespace prune::pipeline {
namespace {

std::vector<schedule::LayerInput> schedule_inputs(const models::Model& model,
                                                  const std::set<std::string>& chosen,
                                                  const ModelStatistics& statistics) {
  std::vector<schedule::LayerInput> inputs;
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    for (const models::LinearSpec& spec : model.linears()) {
      const std::string name = model.block_prefix(block) + spec.name;
      if (!chosen.contains(name)) continue;
      schedule::LayerInput input{.name = name,
                                 .block = block,
                                 .weights = spec.rows * spec.cols,
                                 .writes_stream = spec.writes_stream};
      if (const auto found = statistics.layers.find(name); found != statistics.layers.end()) {
        input.loss = found->second.total;
        input.energy = found->second.energy;
      }
      inputs.push_back(std::move(input));
    }
  }
  return inputs;
}

bool needs_estimates(const PruneOptions& options) {
  return options.schedule == "kmeans" && options.prunem == 0;
}

schedule::SparsitySchedule make_schedule(const models::Model& model,
                                         const std::set<std::string>& chosen,
                                         const ModelStatistics& statistics,
                                         const PruneOptions& options) {
  constexpr std::string_view kFile = "file:";
  const std::vector<schedule::LayerInput> inputs = schedule_inputs(model, chosen, statistics);
  if (needs_estimates(options)) {
    schedule::ScheduleOptions rule = options.rule;
    rule.target = options.target;
    return schedule::kmeans_schedule(inputs, statistics.stream_energy, rule);
  }
  if (options.schedule.starts_with(kFile)) {
    return schedule::read_schedule(options.schedule.substr(kFile.size()), inputs);
  }
  return schedule::uniform_schedule(inputs, options.target);
}

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

void check_device(const PruneOptions& options, report::RunReport& report) {
  const std::string passed_over = device_passed_over(options.model.device);
  if (passed_over.empty()) return;
  if (options.strict) throw Error(ErrorKind::kDevice, passed_over + "; refused by --strict");
  spdlog::warn("{}", passed_over);
  report.fallbacks.push_back({.where = "device", .what = passed_over});
}

void write_copy(const std::filesystem::path& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  if (!stream.flush()) {
    throw Error(ErrorKind::kOutput, fmt::format("{}: cannot write the report", path.string()));
  }
}

}  // namespace

report::RunReport prune_run(const PruneOptions& options, report::RunReport report,
                            Progress& progress) {
  PhaseClock clock(report);
  const models::Model model = open_model(options.model);
  const std::set<std::string> chosen = chosen_layers(model, options);
  const auto tokenizer = calibration::load_tokenizer(options.model.folder);
  const calibration::TokenSet tokens = calibration_tokens(model, *tokenizer, options);
  std::optional<calibration::TokenSet> evaluation;
  if (options.evaluation.text) {
    evaluation = evaluation_tokens(model, *tokenizer, options.evaluation);
  }
  checkpoint::CheckpointWriter writer(model.checkpoint(), options.output,
                                      {.overwrite = options.overwrite});
  report.model = report::describe_model(model, options.model.id);
  report.calibration = report::describe_tokens(tokens);
  report.device = device_description(model.device());
  spdlog::info("{}: {} blocks, {}, computing in {} on {}", options.model.id, model.config().blocks,
               dtype_name(model.stored_dtype()), dtype_name(model.dtype()), report.device);
  check_device(options, report);
  clock.end("open");

  if (evaluation) {
    report.dense = evaluation::perplexity(model, *evaluation,
                                          perplexity_options(options.evaluation), progress);
    spdlog::info("perplexity dense {:.2f}", report.dense->perplexity);
    clock.end("evaluate");
  }

  ModelStatistics statistics;
  if (needs_estimates(options)) {
    statistics = estimate_pass(model, tokens, chosen, options, report, progress);
    clock.end("estimate");
  }
  report.schedule = make_schedule(model, chosen, statistics, options);
  spdlog::info("{}", report::schedule_table(report.schedule));

  prune_pass(model, tokens, report.schedule, statistics, options, writer, report, progress);
  clock.end("prune");
  writer.copy_rest();
  clock.end("write");

  if (evaluation) {
    ModelChoice written = options.model;
    written.folder = writer.partial_folder();
    report.pruned = evaluation::perplexity(open_model(written), *evaluation,
                                           perplexity_options(options.evaluation), progress);
    spdlog::info("perplexity pruned {:.2f}", report.pruned->perplexity);
    clock.end("evaluate");
  }
  report.peak_host_bytes = peak_host_bytes();
  report.peak_device_bytes = peak_device_bytes(model.device());
  report.output = describe_output(writer);
  const std::string text = report::to_json(report).dump(2) + "\n";
  writer.write_text("prune_report.json", text);
  writer.commit();
  if (!options.report.empty()) write_copy(options.report, text);
  return report;
}

evaluation::PerplexityResult evaluate_run(const EvaluateOptions& options, Progress& progress) {
  const models::Model model = open_model(options.model);
  const auto tokenizer = calibration::load_tokenizer(options.model.folder);
  return evaluation::perplexity(model, evaluation_tokens(model, *tokenizer, options.evaluation),
                                perplexity_options(options.evaluation), progress);
}

}  // namespace prune::pipeline
