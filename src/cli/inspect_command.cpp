#include <prune/core/json_file.h>
#include <prune/report/inspect.h>

#include "command_line.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {

int run_inspect_command(const Invocation& invocation) {
  CommonFlags flags;
  bool layers = false;
  const auto app = make_app("prune inspect",
                            "Shows the contents of a checkpoint and verifies its files.", flags);
  set_group(*app, "Output");
  add_flag(*app, "--layers", layers, "a row for every layer, with a histogram of its weights");
  if (!parse_arguments(*app, invocation)) return 0;
  const pipeline::ModelChoice choice = apply_common(flags);
  const models::Model model = models::Model::open(choice.folder, {});
  const report::Inspection inspection = report::inspect(model, choice.id);
  write_stdout(flags.as_json ? json_text(report::to_json(inspection)) + "\n"
               : layers      ? report::inspect_table(inspection)
                             : report::inspect_tree(inspection));
  return 0;
}

}  // namespace prune::cli
