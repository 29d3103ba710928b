#pragma once

namespace prune {

/// Makes the first SIGINT or SIGTERM set a flag; a second one ends the program at once.
void note_interrupts();

/// Call this where a run can stop cleanly. @throws Error(interrupted) if a signal has arrived.
void throw_if_interrupted();

}  // namespace prune
