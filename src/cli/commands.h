#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string_view>

namespace prune::cli {

/// What a command is called with: its arguments; or someone who only wants to see its parser.
struct Invocation {
  int argc = 0;
  const char* const* argv = nullptr;
  std::function<void(const CLI::App&)> describe =
      {};  ///< if set, gets the parser and nothing is run
};

struct Command {
  std::string_view word;  ///< empty: `prune` itself
  std::string_view summary;
  int (*run)(const Invocation& invocation);
};

/// All of them, in the order of the help text.
std::span<const Command> commands();

/// Calls `see` with every command and its parser.
void for_each_parser(const std::function<void(const Command&, const CLI::App&)>& see);

int run_prune_command(const Invocation& invocation);
int run_plan_command(const Invocation& invocation);
int run_eval_command(const Invocation& invocation);
int run_inspect_command(const Invocation& invocation);
int run_report_command(const Invocation& invocation);
int run_pack_command(const Invocation& invocation);
int run_unpack_command(const Invocation& invocation);
int run_completion_command(const Invocation& invocation);
int run_man_command(const Invocation& invocation);

}  // namespace prune::cli
