#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include "command_line.h"
#include "data_names.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {

int run_eval_command(int argc, const char* const* argv) {
  CommonFlags flags;
  std::string data;
  pipeline::EvaluateOptions options;
  const auto app =
      make_app("prune eval", "Perplexity of a checkpoint (SparseGPT's protocol).", flags);
  app->add_option("--data", data,
                  "wikitext2, c4, ptb, or a file: .txt, .jsonl, .json.gz, .parquet");
  app->add_option("--seqlen", options.evaluation.seqlen,
                  "tokens a segment; 0: the model's, at most 2048");
  app->add_option("--segments", options.evaluation.segments, "first N segments only; 0: all");
  app->add_option("--loss-dtype", options.evaluation.loss_dtype,
                  "float32, or model: the loss in the computing dtype as published tables have it");
  if (!parse_arguments(*app, argc, argv)) return 0;
  if (data.empty()) {
    throw Error(ErrorKind::kUsage, "--data is missing: the text to evaluate on");
  }
  options.model = apply_common(flags);
  options.evaluation.text = find_data(data, DataUse::kEvaluation, flags.download);
  const auto progress = make_progress();
  const evaluation::PerplexityResult result = pipeline::evaluate_run(options, *progress);
  clear_live_line();
  if (flags.as_json) {
    fmt::print("{}\n", json_text(evaluation::to_json(result)));
  } else {
    fmt::print("{}: perplexity {:.4f} on {} ({} segments of {} tokens, {})\n", flags.model,
               result.perplexity, result.source, result.segments, result.seqlen, result.dtype);
  }
  return 0;
}

}  // namespace prune::cli
