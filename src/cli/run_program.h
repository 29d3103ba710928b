#pragma once

#include <optional>
#include <string>
#include <vector>

namespace prune::cli {

struct ProgramResult {
  int exit_code = 0;  ///< 128 + the signal's number if a signal ended it
  std::string err;    ///< its stderr; empty when our stderr is a terminal
};

/// Runs a program found on PATH with these arguments, without a shell, and waits for it. Its stdin is
/// empty and its stdout is discarded. Its stderr goes to our terminal (progress bars), or is collected
/// when our stderr is not a terminal.
/// @return nullopt if PATH does not have the program.
/// @throws Error(device) when no process can be started.
std::optional<ProgramResult> run_program(const std::vector<std::string>& arguments);

}  // namespace prune::cli
