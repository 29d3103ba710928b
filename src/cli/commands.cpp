#include "commands.h"

namespace prune::cli {

std::span<const Command> commands() {
  static constexpr Command kCommands[] = {
      {"", "prune a checkpoint", &run_prune_command},
      {"plan", "what that would take: memory, disk, time", &run_plan_command},
      {"eval", "perplexity, task accuracy, a gate for CI", &run_eval_command},
      {"inspect", "layers, sparsity, N:M patterns; verifies the files", &run_inspect_command},
      {"report", "runs side by side, as a page or a table", &run_report_command},
      {"pack", "a checkpoint without its zeros", &run_pack_command},
      {"unpack", "the reverse, byte for byte", &run_unpack_command},
      {"completion", "a completion script for bash, zsh or fish", &run_completion_command},
      {"man", "the manual page", &run_man_command},
  };
  return kCommands;
}

void for_each_parser(const std::function<void(const Command&, const CLI::App&)>& see) {
  for (const Command& command : commands()) {
    command.run({.describe = [&](const CLI::App& app) { see(command, app); }});
  }
}

}  // namespace prune::cli
