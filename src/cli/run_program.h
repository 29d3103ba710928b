#pragma once

#include <optional>
#include <string>
#include <vector>

namespace prune::cli {

struct ProgramOutcome {
  int exit_code = 0;  ///< 128 + the signal's number if one ended it
  std::string err;    ///< its stderr; empty when that is our terminal
};

/// Runs a program that is found on PATH, with these arguments and no shell, and waits for it. It reads
/// nothing and its stdout is dropped; its stderr goes to our terminal if there is one (progress bars),
/// else it is collected.
/// @return none if there is no such program.
/// @throws Error(device) when no process can be started.
std::optional<ProgramOutcome> run_program(const std::vector<std::string>& arguments);

}  // namespace prune::cli
