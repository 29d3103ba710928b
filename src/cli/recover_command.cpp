#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/json_file.h>
#include <prune/core/open_error.h>

#include "command_line.h"
#include "prune_flags.h"
#include "ranks.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {

int run_recover_command(const Invocation& invocation) {
  PruneFlags flags;
  std::string teacher;
  pipeline::PruneOptions& given = flags.options;
  given.recovery.steps = 64;
  flags.recovery_prefix = "--";
  const auto app =
      make_app("prune recover", "Lets the kept weights of a pruned model learn from the dense one.",
               flags.common);
  set_group(*app, "Recovery");
  add_option(*app, "--teacher", teacher, "the dense model: a short name or a folder", kModel);
  add_option(*app, "--steps", given.recovery.steps, "steps of training");
  add_recovery_flags(*app, flags);
  add_option(*app, "--include", given.include, "train only layers whose name matches", "REGEX");
  add_option(*app, "--exclude", given.exclude, "do not train layers whose name matches", "REGEX");
  add_run_flags(*app, flags);
  if (!parse_arguments(*app, invocation)) return 0;
  if (teacher.empty()) {
    throw Error(ErrorKind::kUsage, "--teacher is missing: give the dense model");
  }
  if (given.recovery.steps < 1) {
    throw Error(ErrorKind::kUsage, fmt::format("--steps {} is not positive", given.recovery.steps));
  }
  flags.schedule = "kept";
  return run_with_flags(*app, invocation, flags, [&](pipeline::PruneOptions& options) {
    options.teacher = look_up(teacher, flags.common);
  });
}

}  // namespace prune::cli
