#include "commands.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/nearest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace prune::cli {

std::span<const Command> commands() {
  static constexpr Command kCommands[] = {
      {"", "prune a checkpoint", &run_prune_command},
      {"recover", "let the kept weights learn from the dense model", &run_recover_command},
      {"plan", "estimate the memory, disk and time of a run", &run_plan_command},
      {"eval", "measure perplexity or task accuracy; a gate for CI", &run_eval_command},
      {"generate", "continue a text with a checkpoint", &run_generate_command},
      {"bench", "measure tokens per second and memory", &run_bench_command},
      {"inspect", "show sizes, sparsity and N:M patterns; verify the files", &run_inspect_command},
      {"report", "compare runs on a page or in a table", &run_report_command},
      {"pack", "write a checkpoint without its zeros", &run_pack_command},
      {"unpack", "restore a packed checkpoint, byte for byte", &run_unpack_command},
      {"completion", "print a completion script for bash, zsh or fish", &run_completion_command},
      {"man", "print the manual page", &run_man_command},
  };
  return kCommands;
}

const Command& find_command(std::string_view word) {
  std::vector<std::string> words;
  for (const Command& command : commands()) {
    if (word == command.word) return command;
    if (!command.word.empty()) words.emplace_back(command.word);
  }
  std::error_code failure;
  if (!word.starts_with('-') && !std::filesystem::exists(word, failure)) {
    const std::string hint = did_you_mean(word, words);
    if (!hint.empty()) {
      throw Error(ErrorKind::kUsage, fmt::format("unknown command '{}'{}", word, hint));
    }
  }
  return commands().front();
}

void for_each_parser(const std::function<void(const Command&, const CLI::App&)>& visit) {
  for (const Command& command : commands()) {
    command.run({.describe = [&](const CLI::App& app) { visit(command, app); }});
  }
}

}  // namespace prune::cli
