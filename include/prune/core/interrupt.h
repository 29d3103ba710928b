#pragma once

namespace prune {

/// From now on SIGINT and SIGTERM are only noted; a second one ends the program at once.
void note_interrupts();

/// @throws Error(interrupted) when a signal was noted. Called where a run can stop cleanly.
void throw_if_interrupted();

}  // namespace prune
