#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/kernels/product.h>
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

report::OutputDescription describe_output(const checkpoint::CheckpointWriter& writer) {
  report::OutputDescription output = {.folder = writer.folder().string()};
  for (const checkpoint::WrittenFile& file : writer.files()) {
    output.files[file.name] = file.size_bytes;
    output.size_bytes += file.size_bytes;
  }
  return output;
}

std::string source_license(const models::Model& model) {
  const std::filesystem::path card = model.checkpoint().folder() / "README.md";
  return std::filesystem::exists(card) ? report::license_of(read_file(card)) : "";
}

// What every rank did, gathered from all.
std::vector<report::RankReport> describe_ranks(const Inputs& inputs, const PruneOptions& options,
                                               dist::Communicator& comm) {
  const dist::WorkCounters& counters = comm.counters();
  std::vector<double> mine = {static_cast<double>(counters.hessian_tokens), counters.hessian_flops,
                              static_cast<double>(peak_host_bytes())};
  for (const int64_t sent : counters.sent_bytes) mine.push_back(static_cast<double>(sent));
  const Tensor all = comm.gather(at::tensor(mine, at::kDouble).unsqueeze(0));
  const dist::SampleSplit split = sample_split(inputs.tokens.samples(), options, comm);
  std::vector<report::RankReport> ranks;
  for (int64_t rank = 0; rank < comm.size(); ++rank) {
    const auto number = [&](int64_t which) { return all[rank][which].item<double>(); };
    const auto whole = [&](int64_t which) { return static_cast<int64_t>(number(which)); };
    ranks.push_back({.samples = split.samples_of(rank).size(),
                     .hessian_tokens = whole(0),
                     .hessian_flops = number(1),
                     .sent_hessian_bytes = whole(3),
                     .sent_weight_bytes = whole(4),
                     .sent_other_bytes = whole(5),
                     .peak_host_bytes = whole(2)});
  }
  return ranks;
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
  report.model.hub_id = options.model.hub_id;
  report.calibration = report::describe_tokens(inputs.tokens);
  report.device = kernels::device_description(model.device());
  spdlog::info("{}: {} blocks, {}, computing in {} on {}", options.model.id, model.config().blocks,
               dtype_name(model.stored_dtype()), dtype_name(model.dtype()), report.device);
  check_device(options, report);
}

// The algorithm: every step is skipped that the journal knows as done.
void prune_steps(const Inputs& inputs, const PruneOptions& options, Journal& journal,
                 report::RunReport& report, PhaseClock& clock, dist::Communicator& comm,
                 Progress& progress) {
  const auto& [model, chosen, tokens, evaluation] = inputs;
  const auto perplexity_of = [&](const models::Model& measured) {
    return shared_perplexity(
        measured, *inputs.evaluation,
        perplexity_options(options.evaluation, journal.scratch(), options.deterministic), comm,
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
    statistics = estimate_pass(inputs, options, journal, comm, progress);
    clock.end("estimate");
  }
  for (const report::Fallback& f : statistics.fallbacks) report::add_fallback_(report.fallbacks, f);
  report.schedule = make_schedule(inputs, statistics, options, journal, report, comm, progress);
  if (!report.candidates.empty()) clock.end("score");
  spdlog::info("{}", report::schedule_line(report.schedule));
  if (journal.finished()) return;

  if (!statistics.layers.empty()) journal.write(statistics);
  prune_pass(inputs, report.schedule, statistics, options, journal, report, comm, progress);
  clock.end("prune");
  if (journal.writes()) {
    const std::string config = journal.form().config(chosen);
    if (!config.empty()) journal.writer().write_text("config.json", config);
    journal.writer().copy_rest();
  }
  comm.enter("write");
  comm.barrier();
  clock.end("write");

  if (evaluation && !report.pruned) {
    ModelChoice written = options.model;
    written.folder = journal.scratch();
    report.pruned = perplexity_of(open_model(written));
    spdlog::info("perplexity pruned {:.2f}", report.pruned->perplexity);
    clock.end("evaluate");
    journal.record();
  }
  report.peak_host_bytes = std::max(report.peak_host_bytes, peak_host_bytes());
  report.peak_device_bytes = std::max(report.peak_device_bytes, peak_device_bytes(model.device()));
  report.ranks = describe_ranks(inputs, options, comm);
  if (!journal.writes()) return;
  report.output = describe_output(journal.writer());
  journal.writer().write_text("README.md", report::model_card(report, source_license(model)));
  journal.writer().write_text(kReportName, json_text(report::to_json(report)) + "\n");
  journal.writer().commit();
}

}  // namespace

report::RunReport prune_run(const PruneOptions& options, report::RunReport report,
                            dist::Communicator& comm, Progress& progress) {
  PhaseClock clock(report);
  const Inputs inputs = open_inputs(options);
  report.world_size = comm.size();
  describe_inputs(inputs, options, report);
  // Refuses ranks that would have nothing to do.
  sample_split(inputs.tokens.samples(), options, comm);
  if (needs_estimates(options)) sample_split(estimate_samples(options), options, comm);
  Journal journal(inputs, options, report, comm);
  clock.end("open");
  try {
    prune_steps(inputs, options, journal, report, clock, comm, progress);
  } catch (const std::exception& exception) {
    throw journal.explain(exception);
  }
  if (!options.report.empty() && journal.writes()) {
    write_file(options.report, read_file(journal.writer().folder() / kReportName));
  }
  return report;
}

evaluation::PerplexityResult evaluate_run(const EvaluateOptions& options, dist::Communicator& comm,
                                          Progress& progress) {
  const models::Model model = open_model(options.model);
  const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
  return shared_perplexity(
      model, evaluation_tokens(model, *tokenizer, options.evaluation),
      perplexity_options(options.evaluation, std::filesystem::temp_directory_path(),
                         /*deterministic=*/false),
      comm, progress);
}

evaluation::MultipleChoiceResult evaluate_task(const ModelChoice& choice,
                                               const std::filesystem::path& task,
                                               Progress& progress) {
  const auto items = evaluation::read_task(task);
  const models::Model model = open_model(choice);
  const auto tokenizer = tokenizer::load_tokenizer(choice.folder);
  evaluation::MultipleChoiceResult result = evaluation::multiple_choice(
      model, *tokenizer, items, std::filesystem::temp_directory_path(), progress);
  result.source = task.string();
  return result;
}

}  // namespace prune::pipeline
