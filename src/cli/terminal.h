#pragma once

#include <prune/core/progress.h>

#include <memory>
#include <string>

namespace prune::cli {

/// Progress on stderr: one live line below the log on a terminal, otherwise one log line per block.
std::unique_ptr<Progress> make_progress();

/// True when stderr is a terminal that understands escape sequences.
bool stderr_is_terminal();

/// Whether output has colours.
enum class Color { kAuto, kAlways, kNever };

/// True if what is written to stderr shall have colours. kAuto: on a terminal that understands escape sequences,
/// unless NO_COLOR is set and not empty (https://no-color.org).
bool colours_stderr(Color color);

/// Writes text to stderr above the live line, if there is one.
void print_above_live_line(const std::string& text);

/// Writes text to stdout, removing the live line first. @throws Error(output) if it cannot be written, as on a
/// full disk.
void write_stdout(const std::string& text);

/// Removes the live line; call it before printing results to stdout or an error.
void clear_live_line();

}  // namespace prune::cli
