#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/json_file.h>

#include <charconv>
#include <map>

#include "command_line.h"
#include "data_names.h"
#include "model_names.h"
#include "prune_flags.h"
#include "ranks.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {
namespace {

template <class T>
T one_of(const std::string& flag, const std::string& value, const std::map<std::string, T>& known) {
  const auto found = known.find(value);
  if (found != known.end()) return found->second;
  std::string words;
  for (const auto& [word, meaning] : known) words += (words.empty() ? "" : ", ") + word;
  throw Error(ErrorKind::kUsage, fmt::format("{} '{}' is not one of {}", flag, value, words));
}

// "2:4" to two numbers.
void parse_pattern(const std::string& pattern, pipeline::PruneOptions& options) {
  if (pattern == "unstructured") return;
  const char* const end = pattern.data() + pattern.size();
  const auto n = std::from_chars(pattern.data(), end, options.solver.prunen);
  if (n.ec == std::errc() && n.ptr < end && *n.ptr == ':') {
    const auto m = std::from_chars(n.ptr + 1, end, options.solver.prunem);
    if (m.ec == std::errc() && m.ptr == end && options.solver.prunen >= 0 &&
        options.solver.prunem > options.solver.prunen) {
      return;
    }
  }
  throw Error(ErrorKind::kUsage,
              fmt::format("--pattern '{}' is neither unstructured nor N:M such as 2:4", pattern));
}

void set_target(const CLI::App& app, double target, pipeline::PruneOptions& options) {
  const bool given = app.get_option("--target")->count() > 0;
  if (given && !(target >= 0.0 && target < 1.0)) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--target {} is not in [0, 1): it is the fraction of zeros", target));
  }
  if (options.solver.prunem != 0) {
    const double fixed =
        static_cast<double>(options.solver.prunen) / static_cast<double>(options.solver.prunem);
    if (given && std::abs(target - fixed) > 1e-9) {
      throw Error(
          ErrorKind::kUsage,
          fmt::format("--pattern {}:{} fixes the sparsity at {}, --target says {}; leave it "
                      "out",
                      options.solver.prunen, options.solver.prunem, fixed, target));
    }
    options.target = fixed;
    return;
  }
  if (!given && options.schedule != schedule::ScheduleKind::kFile) {
    throw Error(ErrorKind::kUsage, "--target is missing: the fraction of zeros, such as 0.7");
  }
  options.target = given ? target : 0.0;
}

std::string default_output(const std::string& model, const pipeline::PruneOptions& options) {
  const std::string name = model_base_name(model);
  const Quantization& quantization = options.solver.quantization;
  const std::string bits = quantization.on() ? fmt::format("-w{}", quantization.wbits) : "";
  if (options.solver.prunem != 0) {
    return fmt::format("{}-{}of{}{}", name, options.solver.prunen, options.solver.prunem, bits);
  }
  return fmt::format("{}-s{:g}{}", name, 100 * options.target, bits);
}

void set_quantization(const PruneFlags& flags, pipeline::PruneOptions& options) {
  Quantization& how = options.solver.quantization;
  how.symmetric = !flags.asym;
  const auto is_one_of = [](int64_t value, std::initializer_list<int64_t> known) {
    return std::ranges::find(known, value) != known.end();
  };
  if (!is_one_of(how.wbits, {2, 3, 4, 8, 16})) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--wbits {} is not one of 2, 3, 4, 8, 16", how.wbits));
  }
  if (!is_one_of(how.group_size, {32, 64, 128, -1})) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--group-size {} is not one of 128, 64, 32, -1", how.group_size));
  }
  const auto format = one_of<std::optional<bool>>(
      "--format", flags.format, {{"auto", std::nullopt}, {"dense", false}, {"packed", true}});
  options.packed = format.value_or(how.on());
  if (!how.on()) {
    if (options.packed) {
      throw Error(ErrorKind::kUsage, "--format packed needs --wbits 8, 4, 3 or 2");
    }
    return;
  }
  const auto act_order = one_of<std::optional<bool>>(
      "--act-order", flags.act_order, {{"auto", std::nullopt}, {"on", true}, {"off", false}});
  options.act_order = act_order.value_or(options.solver.prunem == 0 && options.target == 0.0);
  if (options.act_order && options.solver.prunem != 0) {
    throw Error(ErrorKind::kUsage, "--act-order on does not go with --pattern N:M");
  }
  if (options.solver.solver != solver::Algorithm::kSparseGpt || options.solver.refine > 0) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--wbits {} goes with --solver sparsegpt and without --refine only",
                            how.wbits));
  }
  if (how.group_size > 0 && options.solver.blocksize % how.group_size != 0) {
    throw Error(ErrorKind::kUsage, fmt::format("--blocksize {} is no multiple of --group-size {}",
                                               options.solver.blocksize, how.group_size));
  }
}

}  // namespace

std::unique_ptr<CLI::App> make_prune_app(const std::string& name, const std::string& description,
                                         PruneFlags& flags) {
  auto app = make_app(name, description, flags.common);
  pipeline::PruneOptions& options = flags.options;
  app->option_defaults()->group("Pruning");
  app->add_option("--target", flags.target,
                  "fraction of zeros over all pruned weights, 0 <= S < 1");
  app->get_option("--target")->default_str("");
  app->add_option("--pattern", flags.pattern, "N zeros in every M instead")
      ->type_name("unstructured|N:M");
  app->add_option("--schedule", flags.schedule,
                  "sparsity of each block; auto: the best by a trial")
      ->type_name("kmeans|uniform|auto|owl|depth|file:PATH");
  app->add_option("--solver", flags.solver, "alps: better masks, many times slower")
      ->type_name("sparsegpt|alps");
  app->add_option("--refine", options.solver.refine,
                  "conjugate-gradient steps on the kept weights");
  app->add_option("--wbits", options.solver.quantization.wbits, "bits of a kept weight")
      ->type_name("16|8|4|3|2");
  app->option_defaults()->group(kMore);
  app->add_option("--groups", options.grouping.groups, "K-means groups");
  app->add_option("--spread", options.grouping.spread,
                  "largest distance of a group's sparsity from the target");
  app->add_option("--loss", flags.loss, "loss that is clustered")
      ->type_name("stream|relative|absolute");
  app->add_option("--level", flags.level, "what gets one sparsity")->type_name("block|layer");
  app->add_option("--order", flags.order,
                  "sequential: a layer after all before it in its block; block: as SparseGPT")
      ->type_name("sequential|block");
  app->add_option("--percdamp", options.percdamp,
                  "damping, a share of the Hessian's mean diagonal");
  app->add_option("--blocksize", options.solver.blocksize, "columns per lazy update");
  app->add_option("--group-size", options.solver.quantization.group_size,
                  "columns that share a scale of --wbits; -1: the whole row")
      ->type_name("128|64|32|-1");
  app->add_option("--act-order", flags.act_order,
                  "rounds the columns of the largest inputs first; auto: where nothing is pruned")
      ->type_name("auto|on|off");
  CLI::Option* sym = app->add_flag("--sym", flags.sym, "symmetric scales (default)");
  app->add_flag("--asym", flags.asym, "scales with a zero point")->excludes(sym);
  app->add_option("--format", flags.format,
                  "of quantized weights; packed: compressed-tensors' pack-quantized, auto: packed")
      ->type_name("auto|packed|dense");
  app->add_option("--include", options.include, "prune only layers whose name matches")
      ->type_name("REGEX");
  app->add_option("--exclude", options.exclude, "leave out layers whose name matches")
      ->type_name("REGEX");
  app->option_defaults()->group("Text");
  app->add_option("--calibration", flags.calibration,
                  "c4, wikitext2, ptb, .txt, .jsonl, .json.gz, .parquet")
      ->type_name(kData);
  app->add_option("--nsamples", options.nsamples, "calibration samples");
  app->add_option("--seqlen", options.seqlen, "tokens a sample; 0: the model's, at most 2048");
  app->add_option("--eval", flags.evaluation, "perplexity on this before and after")
      ->type_name(kData);
  app->option_defaults()->group(kMore);
  app->add_option("--seed", options.seed, "seed of the calibration samples");
  app->add_option("--estimate-nsamples", options.estimate_nsamples,
                  "samples of the estimate pass; 0: a quarter, 8 at least");
  app->add_option("--stats", options.stats,
                  "loss statistics of this earlier output: no estimate pass")
      ->type_name(kFolder);
  app->add_option("--eval-segments", options.evaluation.segments, "first N segments only; 0: all");
  app->add_option("--loss-dtype", options.evaluation.loss_dtype, "of --eval")
      ->type_name("float32|model");
  app->add_option("--report", options.report, "also write the report here")->type_name(kFile);
  app->add_flag("--deterministic", options.deterministic, "the same bytes for any number of ranks");
  add_dist_timeout(*app, flags.dist_timeout_s);
  app->option_defaults()->group("Output");
  app->add_option("--output", flags.output, "output folder (default: ./NAME-s70)")
      ->type_name(kFolder);
  app->add_flag("--overwrite", options.overwrite, "replace an existing output folder");
  app->add_flag("--resume", options.resume, "go on where this command was stopped; else begin");
  app->add_flag("--strict", options.strict, "any fallback is an error");
  return app;
}

namespace {

void check_ranges(const pipeline::PruneOptions& options) {
  const auto positive = [](const char* flag, int64_t value) {
    if (value < 1)
      throw Error(ErrorKind::kUsage, fmt::format("{} {} is not positive", flag, value));
  };
  positive("--groups", options.grouping.groups);
  positive("--nsamples", options.nsamples);
  positive("--blocksize", options.solver.blocksize);
  if (options.schedule == schedule::ScheduleKind::kAuto && options.nsamples < pipeline::kFewestForAuto) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--schedule auto needs --nsamples of {} or more, not {}",
                            pipeline::kFewestForAuto, options.nsamples));
  }
  if (options.estimate_nsamples < 0 || options.estimate_nsamples > options.nsamples) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--estimate-nsamples {} is not between 0 and --nsamples {}",
                            options.estimate_nsamples, options.nsamples));
  }
  if (options.solver.refine < 0) {
    throw Error(ErrorKind::kUsage, fmt::format("--refine {} is negative", options.solver.refine));
  }
  if (options.seqlen < 0 || options.evaluation.segments < 0) {
    throw Error(ErrorKind::kUsage, "--seqlen and --eval-segments cannot be negative");
  }
  if (!(options.grouping.spread >= 0.0 && options.grouping.spread <= 1.0)) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--spread {} is not between 0 and 1", options.grouping.spread));
  }
  if (!(options.percdamp >= 0.0)) {
    throw Error(ErrorKind::kUsage, fmt::format("--percdamp {} is negative", options.percdamp));
  }
}

}  // namespace

pipeline::PruneOptions checked_options(const CLI::App& app, const PruneFlags& flags) {
  pipeline::PruneOptions options = flags.options;
  options.schedule = schedule::parse_kind(flags.schedule);
  if (options.schedule == schedule::ScheduleKind::kFile) {
    options.schedule_file = flags.schedule.substr(flags.schedule.find(':') + 1);
  }
  parse_pattern(flags.pattern, options);
  set_target(app, flags.target, options);
  check_ranges(options);
  options.solver.solver = one_of<solver::Algorithm>(
      "--solver", flags.solver,
      {{"sparsegpt", solver::Algorithm::kSparseGpt}, {"alps", solver::Algorithm::kAlps}});
  set_quantization(flags, options);
  options.order = one_of<stream::Order>(
      "--order", flags.order,
      {{"sequential", stream::Order::kSequential}, {"block", stream::Order::kBlock}});
  options.grouping.loss = one_of<schedule::LossKind>("--loss", flags.loss,
                                                 {{"stream", schedule::LossKind::kStream},
                                                  {"relative", schedule::LossKind::kRelative},
                                                  {"absolute", schedule::LossKind::kAbsolute}});
  options.grouping.level = one_of<schedule::Level>(
      "--level", flags.level,
      {{"block", schedule::Level::kBlock}, {"layer", schedule::Level::kLayer}});
  options.evaluation.seqlen = options.seqlen;
  options.output =
      flags.output.empty() ? default_output(flags.common.model, options) : flags.output;
  return options;
}

namespace {

void find_inputs(const PruneFlags& flags, pipeline::PruneOptions& options) {
  options.model = apply_common(flags.common);
  options.calibration = find_data(flags.calibration, DataUse::kCalibration, flags.common.download);
  if (!flags.evaluation.empty()) {
    options.evaluation.text =
        find_data(flags.evaluation, DataUse::kEvaluation, flags.common.download);
  }
}

void print_result(const report::RunReport& report, bool as_json) {
  clear_live_line();
  if (as_json) {
    fmt::print("{}\n", json_text(report::to_json(report)));
  } else {
    fmt::print("{}{}", report::schedule_table(report.schedule), report::summary_table(report));
  }
}

}  // namespace

int run_prune_command(const Invocation& invocation) {
  PruneFlags flags;
  const auto app =
      make_prune_app("prune", "Prunes a Hugging Face checkpoint after training.", flags);
  if (!parse_arguments(*app, invocation)) return 0;
  pipeline::PruneOptions options = checked_options(*app, flags);

  note_interrupts();
  report::RunReport report;
  report.command_line = command_line(invocation.argc, invocation.argv);
  report.options = options_json(*app);
  const bool first = with_ranks(flags.common, flags.dist_timeout_s, [&](dist::Communicator& comm) {
    rank_0_first(comm, [&] { find_inputs(flags, options); });
    choose_gpu(options.model, comm);
    const auto progress = make_progress(comm);
    report = pipeline::prune_run(options, std::move(report), comm, *progress);
  });
  if (first) print_result(report, flags.common.as_json);
  return 0;
}

}  // namespace prune::cli
