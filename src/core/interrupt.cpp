#include <prune/core/error.h>
#include <prune/core/interrupt.h>

#include <csignal>

namespace prune {
namespace {

volatile std::sig_atomic_t noted_signal = 0;

void note(int signal) {
  noted_signal = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void note_interrupts() {
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

void throw_if_interrupted() {
  if (noted_signal == 0) return;
  throw Error(ErrorKind::kInterrupted,
              noted_signal == SIGINT ? "stopped by SIGINT (Ctrl-C)" : "stopped by SIGTERM");
}

}  // namespace prune
