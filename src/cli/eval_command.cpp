#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/open_error.h>
#include <prune/evaluation/baseline.h>
#include <spdlog/spdlog.h>

#include <chrono>

#include "command_line.h"
#include "ranks.h"
#include "recipe.h"
#include "terminal.h"
#include "text_flags.h"

namespace prune::cli {
namespace {

struct GateFlags {
  std::string baseline;
  double tolerance = 0.01;
  bool write = false;
  std::string junit;
};

void check_gate(const CLI::App& app, const GateFlags& gate) {
  if (gate.baseline.empty() && (gate.write || is_given(app, "--tolerance"))) {
    throw Error(ErrorKind::kUsage, "--tolerance and --write-baseline need --baseline FILE");
  }
  if (!(gate.tolerance >= 0.0)) {
    throw Error(ErrorKind::kUsage, fmt::format("--tolerance {} is negative", gate.tolerance));
  }
}

// Writes the baseline or compares with it; returns the line to log, empty without --baseline.
std::string pass_gate(const CLI::App& app, const GateFlags& gate, const std::string& model,
                      const evaluation::PerplexityResult& result) {
  if (gate.baseline.empty()) return "";
  if (gate.write) {
    const json baseline = evaluation::baseline_json(result, model, gate.tolerance);
    write_file(gate.baseline, json_text(baseline) + "\n");
    return "written to " + gate.baseline;
  }
  const json baseline = read_json(gate.baseline);
  try {
    const bool given = is_given(app, "--tolerance");
    const double tolerance =
        given ? gate.tolerance : value_or(baseline, "tolerance", gate.tolerance);
    return evaluation::compare_to_baseline(result, baseline, tolerance);
  } catch (Error& error) {
    throw error.in(gate.baseline);
  }
}

int evaluate_task(const CommonFlags& flags, const std::string& task,
                  pipeline::EvaluateOptions options) {
  if (dist::read_environment().size > 1) {
    throw Error(ErrorKind::kUsage, "--task runs in one process, not over several ranks");
  }
  options.model = apply_common(flags);
  const auto progress = make_progress();
  const evaluation::MultipleChoiceResult result = pipeline::evaluate_task(options, task, *progress);
  clear_live_line();
  const json scores = evaluation::to_json(result);
  if (result.cut > 0) {
    spdlog::warn("{} requests are longer than the model's positions and were cut at the left",
                 result.cut);
  }
  if (flags.as_json) {
    write_stdout(json_text(scores) + "\n");
  } else {
    write_stdout(fmt::format(
        "{}: acc_norm {:.4f} (+- {:.4f}), acc {:.4f} (+- {:.4f}) on {} ({} items, {})\n",
        flags.model, result.normalized, scores.at("acc_norm_stderr").get<double>(), result.accuracy,
        scores.at("acc_stderr").get<double>(), task, result.items(), result.dtype));
  }
  return 0;
}

// Prints the result, applies the gate and writes its JUnit file. @throws Error(gate)
void finish(const CLI::App& app, const GateFlags& gate, const CommonFlags& flags,
            const std::string& data, const evaluation::PerplexityResult& result, double elapsed_s) {
  if (flags.as_json) {
    write_stdout(json_text(evaluation::to_json(result)) + "\n");
  } else {
    write_stdout(fmt::format("{}: perplexity {:.4f} on {} ({} segments of {} tokens, {})\n",
                             flags.model, result.perplexity, result.source, result.segments,
                             result.seqlen, result.dtype));
  }
  const auto write_junit = [&](const std::string& failure) {
    if (gate.junit.empty()) return;
    write_file(gate.junit, evaluation::junit_xml(fmt::format("{} on {}", flags.model, data),
                                                 elapsed_s, failure));
  };
  try {
    const std::string comparison = pass_gate(app, gate, flags.model, result);
    if (!comparison.empty()) spdlog::info("baseline: {}", comparison);
  } catch (const Error& error) {
    write_junit(error.what());
    throw;
  }
  write_junit("");
}

}  // namespace

int run_eval_command(const Invocation& invocation) {
  CommonFlags flags;
  std::string data;
  std::string task;
  GateFlags gate;
  pipeline::EvaluateOptions options;
  const auto app =
      make_app("prune eval", "Perplexity of a checkpoint by SparseGPT's protocol.", flags);
  set_group(*app, "Text");
  add_option(*app, "--data", data, kTextHelp, kData);
  add_option(*app, "--seqlen", options.evaluation.seqlen,
             "tokens per segment; 0: the model's, at most 2048");
  add_option(*app, "--segments", options.evaluation.segments,
             "evaluate the first N segments only; 0: all");
  add_option(*app, "--loss-dtype", options.evaluation.loss_dtype,
             "model: the computing dtype, as in published tables", "float32|model");
  add_flag(*app, "--strict", options.strict, "treat any guess about the text as an error");
  add_option(*app, "--task", task, "accuracy on rows of multiple-choice items instead", kFile);
  set_group(*app, "Gate");
  add_option(*app, "--baseline", gate.baseline, "exit with 1 if worse than this file allows",
             kFile);
  add_option(*app, "--tolerance", gate.tolerance,
             "allowed increase, a fraction; default: the baseline's own");
  add_flag(*app, "--write-baseline", gate.write, "write --baseline's file instead of comparing");
  add_option(*app, "--junit", gate.junit, "write the result to this file as JUnit XML", kFile);
  set_group(*app, kMore);
  TextFlags text;
  add_text_flags(*app, text);
  int64_t dist_timeout_s = 1800;
  add_dist_timeout(*app, dist_timeout_s);
  if (!parse_arguments(*app, invocation)) return 0;
  check_gate(*app, gate);
  check_can_write(gate.junit);
  if (gate.write) check_can_write(gate.baseline);
  options.evaluation.add_bos = add_bos_of(text);
  options.evaluation.chat_template = text.chat_template;
  if (!task.empty()) {
    if (!data.empty() || !gate.baseline.empty() || !gate.junit.empty()) {
      throw Error(ErrorKind::kUsage,
                  "--task cannot be combined with --data, --baseline or --junit");
    }
    return evaluate_task(flags, task, options);
  }
  if (data.empty()) {
    throw Error(ErrorKind::kUsage,
                "--data is missing: give the text to evaluate on, or --task FILE.jsonl");
  }
  check_texts(/*calibration=*/"", data, text, /*nsamples=*/0);
  evaluation::PerplexityResult result;
  std::chrono::duration<double> elapsed{};
  const bool first = with_ranks(flags, dist_timeout_s, [&](dist::Communicator& comm) {
    rank_0_first(comm, [&] {
      options.model = apply_common(flags);
      options.evaluation.text = find_evaluation(data, text, flags.download);
    });
    choose_gpu(options.model, comm);
    const auto progress = make_progress(comm);
    const auto start = std::chrono::steady_clock::now();
    result = pipeline::evaluate_run(options, comm, *progress);
    elapsed = std::chrono::steady_clock::now() - start;
  });
  if (first) finish(*app, gate, flags, data, result, elapsed.count());
  return 0;
}

}  // namespace prune::cli
