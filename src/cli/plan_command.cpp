#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/pipeline/plan_run.h>

#include <functional>

#include "prune_flags.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {

int run_plan_command(const Invocation& invocation) {
  PruneFlags flags;
  int64_t world_size = 1;
  const auto app = make_prune_app(
      "prune plan", "Estimates what a run with these flags needs; reads no weights.", flags);
  set_group(*app, "Pruning");
  add_option(*app, "--world-size", world_size, "ranks that share the work");
  if (!parse_arguments(*app, invocation)) return 0;
  if (world_size < 1) {
    throw Error(ErrorKind::kUsage, fmt::format("--world-size {} is not positive", world_size));
  }
  pipeline::PruneOptions options = checked_options(*app, flags);
  options.model = apply_common(flags.common, ModelParts::kConfig);
  // A plan does not need the texts; a missing one becomes a warning, since the run needs it.
  std::vector<std::string> missing;
  const auto unless_missing = [&](const std::function<void()>& find) {
    try {
      find();
    } catch (const Error& error) {
      missing.emplace_back(error.what());
    }
  };
  unless_missing([&] {
    options.calibration = find_calibration(flags.calibration, flags.text, /*may_download=*/false);
  });
  if (flags.evaluation.empty()) {
    options.evaluation.segments = 0;
  } else {
    unless_missing([&] {
      options.evaluation.text =
          find_evaluation(flags.evaluation, flags.text, /*may_download=*/false);
    });
  }
  plan::Plan plan = pipeline::plan_run(options, world_size);
  plan.warnings.insert(plan.warnings.begin(), missing.begin(), missing.end());
  write_stdout(flags.common.as_json ? json_text(plan::to_json(plan)) + "\n"
                                    : plan::plan_table(plan));
  return 0;
}

}  // namespace prune::cli
