#pragma once

#include <prune/core/progress.h>

#include <chrono>
#include <memory>
#include <string>

namespace prune::cli {

/// Progress for people and logs: on a terminal one live line below the log, elsewhere one log line a
/// block.
std::unique_ptr<Progress> make_progress();

/// True when stderr is a terminal.
bool stderr_is_terminal();

/// Writes text to stderr above the live line, if there is one.
void print_above_live_line(const std::string& text);

/// Removes the live line; called before results go to stdout and before an error is printed.
void clear_live_line();

}  // namespace prune::cli
