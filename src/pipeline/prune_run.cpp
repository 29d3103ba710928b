#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/core/stopwatch.h>
#include <prune/journal/fingerprint.h>
#include <prune/kernels/product.h>
#include <prune/pipeline/prune_run.h>
#include <prune/report/model_card.h>
#include <spdlog/spdlog.h>

#include "estimate_pass.h"
#include "inputs.h"
#include "make_schedule.h"
#include "model_notes.h"
#include "prune_pass.h"
#include "recover_pass.h"
#include "smaller_model.h"
#include "sparse_input.h"

namespace prune::pipeline {
namespace {

report::OutputDescription describe_output(const checkpoint::CheckpointWriter& writer) {
  report::OutputDescription output{.folder = writer.folder().string()};
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

// What each rank did, gathered from all of them.
std::vector<report::RankReport> describe_ranks(const Run& run) {
  const dist::WorkCounters& counters = run.comm.counters();
  std::vector<double> mine = {static_cast<double>(counters.hessian_tokens), counters.hessian_flops,
                              static_cast<double>(peak_host_bytes())};
  for (const int64_t sent : counters.sent_bytes) mine.push_back(static_cast<double>(sent));
  const Tensor all = run.comm.gather(at::tensor(mine, at::kDouble).unsqueeze(0));
  const dist::SampleSplit split = run.split(run.inputs.calibration.samples());
  std::vector<report::RankReport> ranks;
  for (int64_t rank = 0; rank < run.comm.size(); ++rank) {
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

// Logs and reports what is not done as asked. @throws Error(kind) under --strict
void report_or_refuse(report::RunReport& report, report::Fallback fallback, bool strict,
                      ErrorKind kind = ErrorKind::kInput) {
  warn_or_refuse(fallback, strict, kind);
  report::add_fallback_(report.fallbacks, std::move(fallback));
}

void check_device(const PruneOptions& options, report::RunReport& report) {
  const std::string passed_over = device_passed_over(options.model.device);
  if (passed_over.empty()) return;
  report_or_refuse(report, {.where = "device", .what = passed_over}, options.strict,
                   ErrorKind::kDevice);
}

void describe_inputs(const journal::RunInputs& inputs, const PruneOptions& options,
                     report::RunReport& report) {
  const models::Model& model = inputs.model;
  report.model = report::describe_model(model, options.model.id);
  report.model.hub_id = options.model.hub_id;
  report.calibration = report::describe_tokens(inputs.calibration);
  const auto add_guesses = [&](const calibration::TokenSet& tokens) {
    for (report::Fallback& guess : report::guesses_of(tokens)) {
      report::add_fallback_(report.fallbacks, std::move(guess));
    }
  };
  add_guesses(inputs.calibration);
  if (inputs.evaluation) add_guesses(*inputs.evaluation);
  report.device = kernels::device_description(model.device());
  spdlog::info("{}: {} blocks, {}, computing in {} on {}", options.model.id, model.config().blocks,
               dtype_name(model.stored_dtype()), dtype_name(model.dtype()), report.device);
  const std::string note =
      quantized_input_note(model.shape(), model.stored_dtype(), options.packed);
  if (!note.empty()) spdlog::info("{}", note);
  check_device(options, report);
  for (report::Fallback& fallback : model_fallbacks(model, options)) {
    report_or_refuse(report, std::move(fallback), options.strict);
  }
  for (const std::string& remark : model_remarks(model, options, inputs.chosen)) {
    spdlog::warn("{}", remark);
  }
}

journal::JournalOptions journal_options(const PruneOptions& options) {
  return {.output = options.output,
          .overwrite = options.overwrite,
          .resume = options.resume,
          .strict = options.strict,
          .stats = options.stats,
          .quantization = options.solver.quantization,
          .packed = options.packed,
          .fingerprint = {.estimate_nsamples = estimate_samples(options),
                          .percdamp = options.percdamp,
                          .schedule_file = options.schedule_file,
                          .teacher = options.teacher ? options.teacher->folder : ""}};
}

evaluation::PerplexityResult perplexity_of(const Run& run, const models::Model& model) {
  return shared_perplexity(
      model, *run.inputs.evaluation,
      perplexity_options(run.options.evaluation, run.journal.scratch(), run.options.deterministic),
      run.comm, run.progress);
}

// What became of the zeros that a sparse model came with.
void note_zeros(const report::RunReport& report) {
  int64_t freed = 0;
  int64_t sparser = 0;
  for (const report::LayerReport& layer : report.layers) {
    freed += layer.zeros_freed;
    const double asked = layer.sparsity_asked * static_cast<double>(layer.rows * layer.cols);
    sparser += static_cast<double>(layer.zeros_before) > asked + 0.5 ? 1 : 0;
  }
  if (freed > 0) spdlog::warn("{} weights that were zero are not any more (--free-zeros)", freed);
  if (freed == 0 && sparser > 0) {
    spdlog::info("{} layers had more zeros than the schedule asks for; all stay zero", sparser);
  }
}

void write_report(const Run& run) {
  report::RunReport& report = run.journal.report();
  report.peak_host_bytes = std::max(report.peak_host_bytes, peak_host_bytes());
  report.peak_device_bytes =
      std::max(report.peak_device_bytes, peak_device_bytes(run.inputs.model.device()));
  report.ranks = describe_ranks(run);
  if (!run.journal.writes()) return;
  checkpoint::CheckpointWriter& writer = run.journal.writer();
  report.output = describe_output(writer);
  writer.write_text("README.md", report::model_card(report, source_license(run.inputs.model)));
  writer.write_text(journal::kReportName, json_text(report::to_json(report)) + "\n");
  writer.commit();
}

// Prunes, and lets the kept weights learn. Afterwards the unfinished output is a complete checkpoint.
void prune_and_recover(const Run& run, Stopwatch& clock) {
  journal::Journal& journal = run.journal;
  journal::ModelStatistics statistics = journal.statistics();
  if (needs_estimates(run.options) && statistics.blocks() < run.inputs.model.config().blocks) {
    statistics = estimate_pass(run);
    journal.add_time("estimate", clock.lap_s());
  }
  for (const report::Fallback& fallback : statistics.fallbacks) journal.add_fallback(fallback);
  const schedule::SparsitySchedule schedule = make_schedule(run, statistics);
  if (!journal.candidates().empty()) journal.add_time("score", clock.lap_s());
  journal.report().schedule = schedule;
  spdlog::info("{}", report::schedule_line(schedule));
  if (journal.finished()) return;

  if (!statistics.layers.empty()) journal.write_statistics(statistics);
  if (adopts_weights(run.options)) {
    adopt_pass(run, schedule);
  } else {
    prune_pass(run, schedule, statistics);
  }
  note_zeros(journal.report());
  journal.add_time("prune", clock.lap_s());
  if (journal.writes()) {
    const std::string config = journal.form().config(run.inputs.chosen);
    if (!config.empty()) journal.writer().write_text("config.json", config);
    journal.writer().copy_rest();
  }
  run.comm.enter("write");
  run.comm.barrier();
  journal.add_time("write", clock.lap_s());

  if (run.options.recovery.steps > 0 && !journal.pruned()) {
    recover_pass(run);
    run.comm.enter("write");
    run.comm.barrier();
    journal.add_time("recover", clock.lap_s());
  }
}

// The journal, the stages and the report, once the inputs are what shall be pruned.
report::RunReport run_stages(const PruneOptions& options, const journal::RunInputs& inputs,
                             report::RunReport header, dist::Communicator& comm, Progress& progress,
                             Stopwatch& clock);

bool rounds_afterwards(const PruneOptions& options) {
  return options.recovery.steps > 0 && options.solver.quantization.on();
}

// Weights on a grid cannot learn: prunes and recovers in 16 bits within the unfinished output, then rounds that model.
void recover_and_round(const Run& run, Stopwatch& clock) {
  journal::Journal& journal = run.journal;
  journal.keep();
  PruneOptions in_16_bits = run.options;
  in_16_bits.solver.quantization = {};
  in_16_bits.packed = false;
  in_16_bits.act_order = false;
  in_16_bits.evaluation.text.reset();
  in_16_bits.report.clear();
  in_16_bits.output = journal.scratch() / "in-16-bits";
  in_16_bits.resume = true;
  in_16_bits.overwrite = false;
  journal::RunInputs same{open_model(run.options.model), run.inputs.chosen, run.inputs.calibration,
                          std::nullopt};
  if (!run.inputs.kept.all()) same = with_units(std::move(same), run.options, run.inputs.kept);
  report::RunReport made = run_stages(in_16_bits, same,
                                      {.options = journal.report().options,
                                       .model = journal.report().model,
                                       .calibration = journal.report().calibration,
                                       .device = journal.report().device,
                                       .world_size = run.comm.size()},
                                      run.comm, run.progress, clock);
  clock.lap_s();
  for (const auto& [phase, elapsed_s] : made.elapsed_s) journal.add_time(phase, elapsed_s);
  for (report::Fallback& fallback : made.fallbacks) journal.add_fallback(std::move(fallback));
  journal.report().recovery = std::move(made.recovery);

  PruneOptions rounding = run.options;
  rounding.schedule = schedule::ScheduleKind::kKept;
  rounding.recovery = {};
  ModelChoice recovered = run.options.model;
  recovered.folder = in_16_bits.output;
  const journal::RunInputs inputs{open_model(recovered), run.inputs.chosen, run.inputs.calibration,
                                  run.inputs.evaluation};
  prune_and_recover({rounding, inputs, journal, run.comm, run.progress}, clock);
  journal.report().schedule = std::move(made.schedule);
}

// The stages of a run. Each one skips what the journal knows to be finished.
void prune_stages(const Run& run, Stopwatch& clock) {
  journal::Journal& journal = run.journal;
  if (run.inputs.evaluation && !journal.dense()) {
    const bool is_input = !run.options.teacher && run.inputs.kept.all();
    evaluation::PerplexityResult dense =
        is_input ? perplexity_of(run, run.inputs.model)
                 : perplexity_of(run, open_model(teacher_of(run.options)));
    spdlog::info("perplexity dense {:.2f}", dense.perplexity);
    journal.add_time("evaluate", clock.lap_s());
    journal.record_dense(std::move(dense));
  }
  if (rounds_afterwards(run.options) && !journal.finished()) {
    recover_and_round(run, clock);
  } else {
    prune_and_recover(run, clock);
  }
  if (journal.finished()) return;

  if (run.inputs.evaluation && !journal.pruned()) {
    ModelChoice written = run.options.model;
    written.folder = journal.scratch();
    evaluation::PerplexityResult pruned = perplexity_of(run, open_model(written));
    spdlog::info("perplexity pruned {:.2f}", pruned.perplexity);
    journal.add_time("evaluate", clock.lap_s());
    journal.record_pruned(std::move(pruned));
  }
  write_report(run);
}

report::RunReport run_stages(const PruneOptions& options, const journal::RunInputs& inputs,
                             report::RunReport header, dist::Communicator& comm, Progress& progress,
                             Stopwatch& clock) {
  journal::Journal journal(inputs, journal_options(options), std::move(header), comm);
  // What was chosen before lies in the unfinished output.
  if (!inputs.kept.all() && !journal.finished()) journal.keep();
  journal.add_time("open", clock.lap_s());
  const Run run{options, inputs, journal, comm, progress};
  try {
    prune_stages(run, clock);
  } catch (const std::exception& exception) {
    throw journal.explain(exception);
  }
  if (!options.report.empty() && journal.writes()) {
    write_file(options.report, read_file(journal.writer().folder() / journal::kReportName));
  }
  return journal.report();
}

}  // namespace

report::RunReport prune_run(const PruneOptions& asked, report::RunReport header,
                            dist::Communicator& comm, Progress& progress) {
  Stopwatch clock;
  PruneOptions options = asked;
  journal::RunInputs inputs = open_inputs(options);
  std::optional<report::Fallback> dense =
      choose_format_(inputs.model.shape(), inputs.chosen, options);
  header.world_size = comm.size();
  describe_inputs(inputs, options, header);
  if (dense) report_or_refuse(header, std::move(*dense), options.strict);
  // Refuses ranks that would have nothing to do, before any work.
  dist::SampleSplit(options.nsamples, comm.size(), options.deterministic);
  if (needs_estimates(options)) {
    dist::SampleSplit(estimate_samples(options), comm.size(), options.deterministic);
  }
  if (options.teacher) {
    check_teacher(open_model(*options.teacher), inputs.model, options.recovery.trains_blocks());
  }
  // A NaN would be found when its block is loaded, hours later.
  if (comm.rank() == 0) inputs.model.check_values();
  RankProgress named_progress(progress, comm);
  if (options.removes_units()) {
    if (comm.rank() == 0) {
      header.fingerprint =
          journal::run_fingerprint(inputs, journal_options(options).fingerprint, header.options);
    }
    header.elapsed_s["open"] = clock.lap_s();
    inputs = remove_units(std::move(inputs), options, header, comm, named_progress);
    options.resume = true;  // what is chosen is recorded
    clock.lap_s();
  }
  return run_stages(options, inputs, std::move(header), comm, named_progress, clock);
}

namespace {

/// @throws Error(input) without a head
models::Model open_to_evaluate(const EvaluateOptions& options) {
  models::Model model = open_model(options.model, models::ModelOptions::Linears::kPackedIfStoredSo);
  model.check_head();
  for (const report::Fallback& fallback : adapter_fallbacks(options.model.folder)) {
    warn_or_refuse(fallback, options.strict);
  }
  return model;
}

}  // namespace

evaluation::PerplexityResult evaluate_run(const EvaluateOptions& options, dist::Communicator& comm,
                                          Progress& progress) {
  const models::Model model = open_to_evaluate(options);
  const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
  RankProgress named_progress(progress, comm);
  return shared_perplexity(
      model, evaluation_tokens(model, *tokenizer, options.evaluation, options.strict),
      perplexity_options(options.evaluation, std::filesystem::temp_directory_path(),
                         /*deterministic=*/false),
      comm, named_progress);
}

evaluation::MultipleChoiceResult evaluate_task(const EvaluateOptions& options,
                                               const std::filesystem::path& task,
                                               Progress& progress) {
  const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
  const auto items = evaluation::read_task(
      task, template_choice(options.model.folder, *tokenizer, options.evaluation.chat_template));
  const models::Model model = open_to_evaluate(options);
  evaluation::MultipleChoiceResult result = evaluation::multiple_choice(
      model, *tokenizer, items,
      {.scratch = std::filesystem::temp_directory_path(), .add_bos = options.evaluation.add_bos},
      progress);
  result.source = task.string();
  return result;
}

}  // namespace prune::pipeline
