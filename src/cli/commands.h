#pragma once

#include <functional>
#include <span>
#include <string_view>

namespace CLI {
class App;
}

namespace prune::cli {

/// How a command is called: with arguments to run on, or with a visitor of its parser.
struct Invocation {
  int argc = 0;
  const char* const* argv = nullptr;
  /// If set, it receives the parser and the command does not run.
  std::function<void(const CLI::App&)> describe = {};
};

struct Command {
  std::string_view word;  ///< empty: `prune` itself
  std::string_view summary;
  int (*run)(const Invocation& invocation);
};

/// All commands, in the order in which help lists them.
std::span<const Command> commands();

/// The command that this word names; `prune` itself for any other word.
/// @param word  the first of the command line
/// @throws Error(usage) for a word that is nearly the name of a command, unless a file has that name
const Command& find_command(std::string_view word);

/// Calls `visit` with every command and its parser.
void for_each_parser(const std::function<void(const Command&, const CLI::App&)>& visit);

int run_prune_command(const Invocation& invocation);
int run_plan_command(const Invocation& invocation);
int run_eval_command(const Invocation& invocation);
int run_generate_command(const Invocation& invocation);
int run_bench_command(const Invocation& invocation);
int run_inspect_command(const Invocation& invocation);
int run_recover_command(const Invocation& invocation);
int run_report_command(const Invocation& invocation);
int run_pack_command(const Invocation& invocation);
int run_unpack_command(const Invocation& invocation);
int run_completion_command(const Invocation& invocation);
int run_man_command(const Invocation& invocation);

}  // namespace prune::cli
