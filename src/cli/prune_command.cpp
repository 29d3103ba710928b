#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/json_file.h>
#include <prune/core/open_error.h>

#include <charconv>

#include "command_line.h"
#include "model_names.h"
#include "one_of.h"
#include "prune_flags.h"
#include "ranks.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {
namespace {

// Parses "2:4" into prunen and prunem; "unstructured" leaves both 0.
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

/// A fraction of whole units to remove.
struct Fraction {
  const char* flag;
  char letter;  ///< in the name of the output
  double removed;
};

std::vector<Fraction> fractions_of_units(const pipeline::PruneOptions& options) {
  return {{"--ffn", 'f', options.ffn},
          {"--heads", 'h', options.heads},
          {"--blocks", 'b', options.blocks},
          {"--experts", 'e', options.experts}};
}

void set_target(const CLI::App& app, double target, pipeline::PruneOptions& options) {
  const bool given = is_given(app, "--target");
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
          fmt::format("--pattern {}:{} fixes the sparsity at {}, but --target is {}; leave it out",
                      options.solver.prunen, options.solver.prunem, fixed, target));
    }
    options.target = fixed;
    return;
  }
  const bool only_units = !given && options.removes_units() && !options.solver.quantization.on();
  if (only_units && !is_given(app, "--schedule")) {
    options.schedule = schedule::ScheduleKind::kKept;
  }
  const bool follows = options.schedule == schedule::ScheduleKind::kFile ||
                       options.schedule == schedule::ScheduleKind::kKept;
  if (!given && !follows) {
    throw Error(ErrorKind::kUsage, "--target is missing: give the fraction of zeros, such as 0.7");
  }
  options.target = given ? target : 0.0;
}

std::string default_output(const std::string& model, const pipeline::PruneOptions& options) {
  std::string name = model_base_name(model);
  const Quantization& quantization = options.solver.quantization;
  const std::string bits = quantization.on() ? fmt::format("-w{}", quantization.wbits) : "";
  for (const Fraction& units : fractions_of_units(options)) {
    if (units.removed > 0.0) name += fmt::format("-{}{:g}", units.letter, 100 * units.removed);
  }
  if (options.solver.prunem != 0) {
    return fmt::format("{}-{}of{}{}", name, options.solver.prunen, options.solver.prunem, bits);
  }
  if (options.schedule == schedule::ScheduleKind::kKept) {
    const bool names_units = options.removes_units() && options.recovery.steps == 0;
    if (names_units) return name + bits;
    return name + (options.recovery.steps > 0 ? "-recovered" : "-kept") + bits;
  }
  return fmt::format("{}-s{:g}{}", name, 100 * options.target, bits);
}

void set_quantization(const PruneFlags& flags, pipeline::PruneOptions& options) {
  Quantization& quantization = options.solver.quantization;
  quantization.symmetric = !flags.asym;
  const auto is_one_of = [](int64_t value, std::initializer_list<int64_t> known) {
    return std::ranges::find(known, value) != known.end();
  };
  if (!is_one_of(quantization.wbits, {2, 3, 4, 8, 16})) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--wbits {} is not one of 2, 3, 4, 8, 16", quantization.wbits));
  }
  if (!is_one_of(quantization.group_size, {32, 64, 128, -1})) {
    throw Error(ErrorKind::kUsage, fmt::format("--group-size {} is not one of 128, 64, 32, -1",
                                               quantization.group_size));
  }
  const auto format = one_of<std::optional<bool>>(
      "--format", flags.format, {{"auto", std::nullopt}, {"dense", false}, {"packed", true}});
  options.packed = format.value_or(quantization.on());
  options.must_pack = format.value_or(false);
  if (!quantization.on()) {
    if (options.packed) {
      throw Error(ErrorKind::kUsage, "--format packed needs --wbits 8, 4, 3 or 2");
    }
    return;
  }
  const auto act_order = one_of<std::optional<bool>>(
      "--act-order", flags.act_order, {{"auto", std::nullopt}, {"on", true}, {"off", false}});
  options.act_order = act_order.value_or(options.solver.prunem == 0 && options.target == 0.0);
  if (options.act_order && options.solver.prunem != 0) {
    throw Error(ErrorKind::kUsage, "--act-order on cannot be combined with --pattern N:M");
  }
  if (options.solver.solver != solver::Algorithm::kSparseGpt || options.solver.refine > 0) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("--wbits {} needs --solver sparsegpt and no --refine", quantization.wbits));
  }
  if (quantization.group_size > 0 && options.solver.blocksize % quantization.group_size != 0) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--blocksize {} is not a multiple of --group-size {}",
                            options.solver.blocksize, quantization.group_size));
  }
}

}  // namespace

AppPointer make_prune_app(const std::string& name, const std::string& description,
                          PruneFlags& flags) {
  auto app = make_app(name, description, flags.common);
  pipeline::PruneOptions& options = flags.options;
  set_group(*app, "Pruning");
  add_option(*app, "--target", flags.target,
             "fraction of zeros over all pruned weights, 0 <= S < 1");
  hide_default(*app, "--target");
  add_option(*app, "--pattern", flags.pattern, "N zeros in every M weights", "N:M");
  add_option(*app, "--schedule", flags.schedule, "of each block; auto: the best of several",
             "kmeans|uniform|auto|owl|depth|kept|file:PATH");
  add_option(*app, "--wbits", options.solver.quantization.wbits, "bits per kept weight",
             "16|8|4|3|2");
  add_option(*app, "--ffn", options.ffn, "fraction of each feed-forward's channels to remove");
  add_option(*app, "--heads", options.heads, "of each block's key heads, with their queries");
  add_option(*app, "--blocks", options.blocks, "of the blocks");
  add_option(*app, "--experts", options.experts, "of each block's experts");
  add_option(*app, "--recover", options.recovery.steps, "steps of learning from the dense model");
  set_group(*app, kMore);
  add_recovery_flags(*app, flags);
  add_option(*app, "--solver", flags.solver, "alps: better masks for more time", "sparsegpt|alps");
  add_option(*app, "--refine", options.solver.refine,
             "conjugate-gradient steps on the kept weights");
  add_option(*app, "--groups", options.grouping.groups, "K-means groups");
  add_option(*app, "--spread", options.grouping.spread,
             "largest distance of a group's sparsity from the target");
  add_option(*app, "--loss", flags.loss, "loss to cluster the blocks by",
             "stream|relative|absolute");
  add_option(*app, "--level", flags.level, "unit that gets its own sparsity", "block|layer");
  add_option(*app, "--order", flags.order,
             "sequential: each layer sees the pruned layers before it; block: as SparseGPT",
             "sequential|block");
  add_flag(*app, "--calibrate-all-experts", flags.calibrate_all_experts,
           "prune each expert with all tokens instead of those it gets");
  add_option(*app, "--percdamp", options.percdamp,
             "damping, a fraction of the Hessian's mean diagonal");
  add_option(*app, "--blocksize", options.solver.blocksize, "columns per lazy update");
  add_option(*app, "--group-size", options.solver.quantization.group_size,
             "columns that share a scale of --wbits; -1: the whole row", "128|64|32|-1");
  add_option(
      *app, "--act-order", flags.act_order,
      "round the columns with the largest Hessian diagonal first; auto: if nothing is pruned",
      "auto|on|off");
  add_flag(*app, "--sym", flags.sym, "symmetric scales (default)");
  add_flag(*app, "--asym", flags.asym, "scales with a zero point");
  exclude(*app, "--asym", "--sym");
  add_option(*app, "--format", flags.format,
             "of quantized weights; packed: compressed-tensors' pack-quantized; auto: packed, "
             "if compressed-tensors can read it",
             "auto|packed|dense");
  add_flag(*app, "--free-zeros", flags.free_zeros,
           "weights that are zero already may become nonzero again");
  add_option(*app, "--include", options.include, "prune only layers whose name matches", "REGEX");
  add_option(*app, "--exclude", options.exclude, "do not prune layers whose name matches", "REGEX");
  add_run_flags(*app, flags);
  set_group(*app, kMore);
  add_option(*app, "--estimate-nsamples", options.estimate_nsamples,
             "samples of the estimate pass; 0: a quarter, at least 8");
  add_option(*app, "--stats", options.stats,
             "take the statistics of this earlier output: no estimate pass", kFolder);
  add_flag(*app, "--deterministic", options.deterministic,
           "same output bytes for any number of ranks");
  return app;
}

void add_recovery_flags(CLI::App& app, PruneFlags& flags) {
  recovery::RecoveryOptions& options = flags.options.recovery;
  const std::string& prefix = flags.recovery_prefix;
  add_option(app, prefix + "lr", options.rate,
             "peak learning rate of Adam, relative to the weights; 0: by the loss at the start");
  add_option(app, prefix + "batch", options.batch, "samples in a step");
  add_option(app, prefix + "scope", flags.recover_scope,
             "block: each block learns by itself; both: and then the whole model",
             "model|block|both");
}

void add_run_flags(CLI::App& app, PruneFlags& flags) {
  pipeline::PruneOptions& options = flags.options;
  set_group(app, "Text");
  add_option(app, "--calibration", flags.calibration, kTextHelp + ("; " + std::string(kMixHelp)),
             kData);
  add_option(app, "--nsamples", options.nsamples, "calibration samples");
  add_option(app, "--seqlen", options.seqlen, "tokens per sample; 0: the model's, at most 2048");
  add_option(app, "--eval", flags.evaluation, "measure perplexity on this before and after", kData);
  set_group(app, kMore);
  add_text_flags(app, flags.text);
  add_option(app, "--seed", options.seed, "seed of the calibration samples");
  add_option(app, "--eval-segments", options.evaluation.segments,
             "evaluate the first N segments only; 0: all");
  add_option(app, "--loss-dtype", options.evaluation.loss_dtype, "of --eval", "float32|model");
  add_option(app, "--report", options.report, "also write the report here", kFile);
  add_dist_timeout(app, flags.dist_timeout_s);
  set_group(app, "Output");
  add_option(app, "--output", flags.output, "output folder (default: ./NAME-s70)", kFolder);
  add_flag(app, "--overwrite", options.overwrite, "replace an existing output folder");
  add_flag(app, "--resume", options.resume, "continue a stopped run of this command; else start");
  add_flag(app, "--strict", options.strict, "treat any fallback as an error");
}

namespace {

void check_recovery(const PruneFlags& flags) {
  const pipeline::PruneOptions& options = flags.options;
  const std::string& prefix = flags.recovery_prefix;
  const recovery::RecoveryOptions& recovery = options.recovery;
  if (recovery.steps < 0) {
    throw Error(ErrorKind::kUsage, fmt::format("--recover {} is negative", recovery.steps));
  }
  if (!(recovery.rate >= 0.0)) {
    throw Error(ErrorKind::kUsage, fmt::format("{}lr {} is negative", prefix, recovery.rate));
  }
  if (recovery.batch < 1) {
    throw Error(ErrorKind::kUsage,
                fmt::format("{}batch {} is not positive", prefix, recovery.batch));
  }
  if (recovery.steps > 0 && options.nsamples < 2) {
    throw Error(ErrorKind::kUsage, "recovery needs --nsamples of 2 or more: one is held out");
  }
}

void check_ranges(const PruneFlags& flags, const pipeline::PruneOptions& options) {
  const auto positive = [](const char* flag, int64_t value) {
    if (value < 1)
      throw Error(ErrorKind::kUsage, fmt::format("{} {} is not positive", flag, value));
  };
  positive("--groups", options.grouping.groups);
  positive("--nsamples", options.nsamples);
  positive("--blocksize", options.solver.blocksize);
  if (options.schedule == schedule::ScheduleKind::kAuto &&
      options.nsamples < pipeline::kFewestForAuto) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--schedule auto needs --nsamples of {} or more, not {}",
                            pipeline::kFewestForAuto, options.nsamples));
  }
  if (options.estimate_nsamples < 0 || options.estimate_nsamples > options.nsamples) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--estimate-nsamples {} is not between 0 and --nsamples {}",
                            options.estimate_nsamples, options.nsamples));
  }
  check_recovery(flags);
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
  for (const Fraction& units : fractions_of_units(options)) {
    if (units.removed >= 0.0 && units.removed < 1.0) continue;
    throw Error(ErrorKind::kUsage,
                fmt::format("{} {} is not in [0, 1)", units.flag, units.removed));
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
  check_ranges(flags, options);
  options.solver.solver = one_of<solver::Algorithm>(
      "--solver", flags.solver,
      {{"sparsegpt", solver::Algorithm::kSparseGpt}, {"alps", solver::Algorithm::kAlps}});
  set_quantization(flags, options);
  options.recovery.scope =
      one_of<recovery::Scope>(flags.recovery_prefix + "scope", flags.recover_scope,
                              {{"model", recovery::Scope::kModel},
                               {"block", recovery::Scope::kBlock},
                               {"both", recovery::Scope::kBoth}});
  if (options.recovery.trains_blocks() && options.blocks > 0.0) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("{}scope {} needs all blocks of the dense model, but --blocks removes some",
                    flags.recovery_prefix, flags.recover_scope));
  }
  options.solver.keep_zeros = !flags.free_zeros;
  options.order = one_of<stream::Order>(
      "--order", flags.order,
      {{"sequential", stream::Order::kSequential}, {"block", stream::Order::kBlock}});
  if (flags.calibrate_all_experts) options.expert_tokens = stream::ExpertTokens::kAll;
  options.grouping.loss = one_of<schedule::LossKind>("--loss", flags.loss,
                                                     {{"stream", schedule::LossKind::kStream},
                                                      {"relative", schedule::LossKind::kRelative},
                                                      {"absolute", schedule::LossKind::kAbsolute}});
  options.grouping.level = one_of<schedule::Level>(
      "--level", flags.level,
      {{"block", schedule::Level::kBlock}, {"layer", schedule::Level::kLayer}});
  options.evaluation.seqlen = options.seqlen;
  options.add_bos = options.evaluation.add_bos = add_bos_of(flags.text);
  options.chat_template = options.evaluation.chat_template = flags.text.chat_template;
  check_texts(flags.calibration, flags.evaluation, flags.text, options.nsamples);
  options.output =
      flags.output.empty() ? default_output(flags.common.model, options) : flags.output;
  return options;
}

namespace {

void find_inputs(const PruneFlags& flags, pipeline::PruneOptions& options) {
  options.model = apply_common(flags.common);
  options.calibration = find_calibration(flags.calibration, flags.text, flags.common.download);
  if (!flags.evaluation.empty()) {
    options.evaluation.text = find_evaluation(flags.evaluation, flags.text, flags.common.download);
  }
}

std::string result_text(const report::RunReport& report, bool as_json) {
  if (as_json) return json_text(report::to_json(report)) + "\n";
  return report::schedule_table(report.schedule) + report::summary_table(report);
}

}  // namespace

int run_with_flags(const CLI::App& app, const Invocation& invocation, PruneFlags& flags,
                   const std::function<void(pipeline::PruneOptions&)>& find_more) {
  pipeline::PruneOptions options = checked_options(app, flags);
  check_can_write(options.report);

  note_interrupts();
  report::RunReport report;
  report.command_line = command_line(invocation.argc, invocation.argv);
  report.options = options_json(app);
  const bool first = with_ranks(flags.common, flags.dist_timeout_s, [&](dist::Communicator& comm) {
    rank_0_first(comm, [&] {
      find_inputs(flags, options);
      find_more(options);
    });
    choose_gpu(options.model, comm);
    const auto progress = make_progress(comm);
    report = pipeline::prune_run(options, std::move(report), comm, *progress);
  });
  if (first) write_stdout(result_text(report, flags.common.as_json));
  return 0;
}

int run_prune_command(const Invocation& invocation) {
  PruneFlags flags;
  const auto app =
      make_prune_app("prune", "Prunes a Hugging Face checkpoint after training.", flags);
  if (!parse_arguments(*app, invocation)) return 0;
  return run_with_flags(*app, invocation, flags, [](pipeline::PruneOptions&) {});
}

}  // namespace prune::cli
