#include <ATen/Parallel.h>
#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/memory.h>
#include <prune/core/stopwatch.h>
#include <prune/kernels/product.h>
#include <prune/pipeline/plan_run.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <optional>

#include "block_pass.h"
#include "inputs.h"
#include "make_schedule.h"
#include "model_notes.h"
#include "smaller_model.h"

namespace prune::pipeline {
namespace {

namespace fs = std::filesystem;

bool is_weight_file(const fs::path& path) {
  return path.extension() == ".safetensors" || path.extension() == ".bin";
}

// The first weight file of a folder; none: there is only a config.json.
std::optional<fs::path> find_weights(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (is_weight_file(entry.path())) found.push_back(entry.path());
  }
  if (found.empty()) return std::nullopt;
  return std::ranges::min(found);
}

// Where the output will lie, as far as it is there.
fs::path existing_parent(const fs::path& output) {
  std::error_code failure;
  fs::path folder = fs::absolute(output, failure).parent_path();
  while (!fs::is_directory(folder, failure) && folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

// The run's shape from the folder's files, or from config.json alone if there are no weights.
plan::RunShape run_shape(const PruneOptions& options, at::Device device,
                         const std::optional<models::Model>& model, int64_t world_size,
                         std::vector<std::string>& warnings) {
  plan::RunShape run;
  run.device = device;
  run.solver = options.solver;
  run.solver.sparsity = options.target;
  run.recovery = options.recovery;
  run.held_out_samples =
      std::ssize(recovery::Timetable(options.recovery, options.nsamples, options.seed).held_out());
  run.percdamp = options.percdamp;
  run.act_order = options.act_order;
  run.order = options.order;
  run.estimates = needs_estimates(options) && options.stats.empty();
  run.adopts = adopts_weights(options);
  if (model) {
    run.model = model->shape();
    run.stored_dtype = model->stored_dtype();
    run.dtype = model->dtype();
  } else {
    run.model = models::read_model_shape(options.model.folder);
    if (!run.model.stored_dtype) {
      warnings.push_back("config.json names no dtype: bfloat16 is assumed");
    }
    run.stored_dtype = run.model.stored_dtype.value_or(at::kBFloat16);
    run.dtype = computing_dtype(options.model, device, run.stored_dtype);
    warnings.push_back(fmt::format("{}: no weight files; all sizes come from config.json",
                                   options.model.folder.string()));
  }
  if (options.removes_units()) {
    const models::ModelShape whole = run.model;
    run.model = with_fewer_units(run.model, options);
    run.choice = {.elements = whole.parameters - run.model.parameters,
                  .blocks = whole.config.blocks - run.model.config.blocks,
                  .block_samples = samples_for_blocks(options.nsamples,
                                                      choose_seqlen(whole.config, options.seqlen)),
                  .blocks_again = blocks_measured_again(whole.config.blocks),
                  .scores_experts = options.experts > 0.0,
                  .solves_columns = options.heads > 0.0 || options.ffn > 0.0,
                  .block_ratio = static_cast<double>(whole.block_elements(0)) /
                                 static_cast<double>(run.model.block_elements(0))};
  }
  const std::set<std::string> chosen = chosen_layers(run.model, options);
  check_order(run.model, options);
  PruneOptions format = options;
  if (const auto dense = choose_format_(run.model, chosen, format)) {
    warnings.push_back(fmt::format("{}: {}", dense->where, dense->what));
  }
  run.packed = format.packed;
  std::string note = quantized_input_note(run.model, run.stored_dtype, run.packed);
  if (!note.empty()) warnings.push_back(std::move(note));
  if (model) {
    for (const report::Fallback& fallback : model_fallbacks(*model, options)) {
      warnings.push_back(fmt::format("{}: {}", fallback.where, fallback.what));
    }
    std::ranges::move(model_remarks(*model, options, chosen), std::back_inserter(warnings));
  }
  for (int64_t block = 0; block < run.blocks(); ++block) {
    std::vector<bool>& layers = run.chosen.emplace_back();
    for (const models::LinearSpec& spec : run.model.linears(block)) {
      layers.push_back(chosen.contains(run.model.block_prefix(block) + spec.name));
    }
  }
  run.nsamples = options.nsamples;
  run.estimate_nsamples = estimate_samples(options);
  run.trials = trials(options);
  run.trial_samples = trial_samples(options.nsamples);
  run.seqlen = choose_seqlen(run.model.config, options.seqlen);
  run.batch = samples_at_once(options.deterministic);
  if (run.batch == 0) run.batch = stream::batch_samples(run.seqlen, device.is_cuda());
  run.segments = options.evaluation.segments;
  run.world_size = world_size;
  return run;
}

// Processor time that this process has used so far.
double process_cpu_s() {
  timespec used = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

std::string describe_schedule(const plan::RunShape& run, const PruneOptions& options) {
  if (options.solver.prunem != 0)
    return fmt::format("{}:{}", options.solver.prunen, options.solver.prunem);
  if (options.schedule == schedule::ScheduleKind::kFile) {
    return "file:" + options.schedule_file.string();
  }
  if (options.schedule == schedule::ScheduleKind::kKept) {
    return fmt::format("every layer as sparse as it is; {} is assumed (--target)", options.target);
  }
  return fmt::format("{} around {}{}", schedule::kind_name(options.schedule), options.target,
                     run.estimates ? ", made from the estimate pass" : "");
}

void add_guesses(const calibration::TokenSet& tokens, plan::Plan& plan) {
  for (const report::Fallback& guess : report::guesses_of(tokens)) {
    plan.warnings.push_back(fmt::format("{}: {}", guess.where, guess.what));
  }
}

}  // namespace

plan::Plan plan_run(const PruneOptions& options, int64_t world_size) {
  const double start_s = process_cpu_s();  // a run loads LibTorch, too
  const Stopwatch opening;
  const at::Device device = find_device(options.model.device);
  plan::Plan plan{.id = options.model.id,
                  .device = kernels::device_description(device),
                  .output = options.output.string()};
  const std::optional<fs::path> weights = find_weights(options.model.folder);
  std::optional<models::Model> model;
  if (weights) model.emplace(open_model(options.model));
  plan.run = run_shape(options, device, model, world_size, plan.warnings);

  std::optional<calibration::TokenSet> tokens;
  std::optional<calibration::TokenSet> evaluation;
  if (model && !options.calibration.empty()) {
    const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
    tokens = calibration_tokens(*model, *tokenizer, options);
    add_guesses(*tokens, plan);
    if (options.evaluation.text) {
      evaluation = evaluation_tokens(*model, *tokenizer, options.evaluation, options.strict);
      add_guesses(*evaluation, plan);
      plan.run.segments = evaluation->samples();
    }
  } else {
    plan.warnings.emplace_back("reading and tokenising the text is not counted");
  }
  plan.schedule = describe_schedule(plan.run, options);
  plan.open_s = start_s + opening.elapsed_s();
  plan.open_peak_bytes = peak_host_bytes();

  plan::Costs costs = plan::measure_costs(plan.run, fs::temp_directory_path());
  const fs::path disk = existing_parent(options.output);
  const plan::DiskCosts written = plan::measure_disk(disk);
  costs.stored_bytes = written.stored_bytes;
  costs.record_s = written.record_s;
  // One thread hashes a file. Without weight files there are taken to be enough for all threads.
  const auto files =
      model ? static_cast<int>(model->checkpoint().files().size()) : at::get_num_threads();
  plan.hash_s = static_cast<double>(plan::input_bytes(plan.run)) /
                (plan::measure_hash_rate() * std::min(files, at::get_num_threads()));
  if (weights) costs.read_bytes = plan::measure_read_rate(*weights);
  plan.price = plan::price(plan.run, costs);
  // What LibTorch and the C library keep once they have worked on such shapes; a run keeps it, too.
  return_freed_memory();
  plan.idle_bytes = resident_host_bytes();
  plan.available_host_bytes = available_host_bytes() + plan.idle_bytes;
  plan.available_device_bytes = available_device_bytes(device);
  std::error_code failure;
  plan.available_disk_bytes = static_cast<int64_t>(fs::space(disk, failure).available);

  if (fs::exists(options.output, failure) && !options.overwrite) {
    plan.warnings.push_back(
        fmt::format("{}: output exists already; give another folder or "
                    "--overwrite",
                    options.output.string()));
  }
  if (world_size > options.nsamples) {
    plan.warnings.push_back(fmt::format("{} samples leave {} of {} ranks without work",
                                        options.nsamples, world_size - options.nsamples,
                                        world_size));
  }
  return plan;
}

}  // namespace prune::pipeline
