#pragma once

namespace prune {

/// A place where a test can kill the process. If the environment sets PRUNE_TEST_KILL_AT="NAME:N", the
/// N-th call with this name raises SIGKILL, or the signal number in PRUNE_TEST_SIGNAL. Otherwise the
/// call does nothing.
void kill_point(const char* name);

}  // namespace prune
