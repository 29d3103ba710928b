#pragma once

namespace prune {

/// A place where a test may have the process die. With PRUNE_TEST_KILL_AT="NAME:N" in the environment
/// the N-th call with this name raises SIGKILL, or the signal whose number is in PRUNE_TEST_SIGNAL;
/// without it nothing happens.
void kill_point(const char* name);

}  // namespace prune
