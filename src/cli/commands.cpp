#include "commands.h"

namespace prune::cli {

std::span<const Command> commands() {
  static constexpr Command kCommands[] = {
      {"", "prune a checkpoint", &run_prune_command},
      {"recover", "let the kept weights learn from the dense model", &run_recover_command},
      {"plan", "estimate the memory, disk and time of a run", &run_plan_command},
      {"eval", "measure perplexity or task accuracy; a gate for CI", &run_eval_command},
      {"generate", "continue a text with a checkpoint", &run_generate_command},
      {"bench", "measure tokens per second and memory", &run_bench_command},
      {"inspect", "show layers, sparsity and N:M patterns; verify the files", &run_inspect_command},
      {"report", "compare runs on a page or in a table", &run_report_command},
      {"pack", "write a checkpoint without its zeros", &run_pack_command},
      {"unpack", "restore a packed checkpoint, byte for byte", &run_unpack_command},
      {"completion", "print a completion script for bash, zsh or fish", &run_completion_command},
      {"man", "print the manual page", &run_man_command},
  };
  return kCommands;
}

void for_each_parser(const std::function<void(const Command&, const CLI::App&)>& visit) {
  for (const Command& command : commands()) {
    command.run({.describe = [&](const CLI::App& app) { visit(command, app); }});
  }
}

}  // namespace prune::cli
