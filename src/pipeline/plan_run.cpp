#include <ATen/Parallel.h>
#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/memory.h>
#include <prune/kernels/product.h>
#include <prune/pipeline/plan_run.h>
#include <prune/plan/machine_rates.h>

#include <algorithm>
#include <ctime>
#include <optional>

#include "inputs.h"
#include "make_schedule.h"
#include "stopwatch.h"

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

// The run's shape from what lies in the folder, and from config.json alone where that is all.
plan::RunShape run_shape(const PruneOptions& options, at::Device device,
                         const std::optional<models::Model>& model,
                         std::vector<std::string>& warnings) {
  plan::RunShape run;
  run.on_cuda = device.is_cuda();
  run.by_onednn = !run.on_cuda && kernels::product_library() == std::string_view("oneDNN");
  run.solver = options.solver;
  run.solver.sparsity = options.target;
  run.packed = options.packed;
  run.estimates = needs_estimates(options) && options.stats.empty();
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
    warnings.push_back(fmt::format("{}: no weight files, all sizes are config.json's",
                                   options.model.folder.string()));
  }
  const std::set<std::string> chosen = chosen_layers(run.model, options);
  for (int64_t block = 0; block < run.model.config.blocks; ++block) {
    std::vector<models::LinearSpec>& layers = run.chosen.emplace_back();
    std::ranges::copy_if(run.model.linears, std::back_inserter(layers),
                         [&](const models::LinearSpec& spec) {
                           return chosen.contains(run.model.block_prefix(block) + spec.name);
                         });
  }
  run.owned = run.chosen;
  run.sequential = options.order == Order::kSequential;
  run.nsamples = options.nsamples;
  run.estimate_nsamples = estimate_samples(options);
  if (needs_trials(options)) {
    run.trials = kTrials;
    run.trial_samples = trial_samples(options.nsamples);
  }
  run.seqlen = choose_seqlen(run.model.config, options.seqlen);
  run.segments = options.evaluation.segments;
  run.states_place = stream::choose_place(static_cast<int64_t>(plan::states_bytes(run)), device);
  run.kept = stream::choose_kept_sites(run.model.linears, run.nsamples * run.seqlen,
                                       static_cast<int64_t>(c10::elementSize(run.dtype)), device);
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
  if (options.schedule.starts_with("file:")) return options.schedule;
  return fmt::format("{} around {}{}", options.schedule, options.target,
                     run.estimates ? ", made from the estimate pass" : "");
}

}  // namespace

plan::Plan plan_run(const PruneOptions& options, int64_t world_size) {
  const double start_s = process_cpu_s();  // a run loads LibTorch, too
  const Stopwatch opening;
  const at::Device device = find_device(options.model.device);
  plan::Plan plan{.id = options.model.id,
                  .device = kernels::device_description(device),
                  .output = options.output.string(),
                  .world_size = world_size};
  const std::optional<fs::path> weights = find_weights(options.model.folder);
  std::optional<models::Model> model;
  if (weights) model.emplace(open_model(options.model));
  plan.run = run_shape(options, device, model, plan.warnings);

  std::optional<calibration::TokenSet> tokens;
  std::optional<calibration::TokenSet> evaluation;
  if (model && !options.calibration.path.empty()) {
    const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
    tokens = calibration_tokens(*model, *tokenizer, options);
    if (options.evaluation.text) {
      evaluation = evaluation_tokens(*model, *tokenizer, options.evaluation);
      plan.run.segments = evaluation->samples();
    }
  } else {
    plan.warnings.emplace_back("reading and tokenising the text is not counted");
  }
  plan.schedule = describe_schedule(plan.run, options);
  plan.open_s = start_s + opening.elapsed_s();
  plan.open_peak_bytes = peak_host_bytes();

  plan.rates = plan::measure_rates(plan.run, device);
  const fs::path disk = existing_parent(options.output);
  const plan::DiskRates written = plan::measure_disk(disk);
  plan.rates.stored_bytes = written.stored_bytes;
  plan.rates.synced_writes = written.synced_writes;
  // A thread a file; where there is only a config.json, they are taken to be enough for all threads.
  const auto files =
      model ? static_cast<int>(model->checkpoint().files().size()) : at::get_num_threads();
  plan.rates.hashed_bytes = plan::measure_hash_rate() * std::min(files, at::get_num_threads());
  if (weights) plan.rates.read_bytes = plan::measure_read_rate(*weights);
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
