#include <fcntl.h>
#include <prune/core/as_error.h>
#include <prune/core/memory.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "commands.h"
#include "log.h"
#include "terminal.h"

namespace {

int run(int argc, const char* const* argv) {
  const prune::cli::Command& command = prune::cli::find_command(argc > 1 ? argv[1] : "");
  const int words = command.word.empty() ? 0 : 1;
  return command.run({.argc = argc - words, .argv = argv + words});
}

// Prints the first line of the message only: an error is one line.
int fail(prune::ErrorKind kind, std::string message) {
  message = message.substr(0, message.find('\n'));
  prune::cli::clear_live_line();
  prune::cli::print_above_live_line(
      fmt::format("prune: {}: {}\n", prune::kind_name(kind), message));
  return prune::exit_code(kind);
}

// A file that is opened while stdout is closed would become stdout, and the result would be written into it.
void occupy_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", O_RDONLY);  // takes the lowest free number: fd
  }
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_streams();
  prune::keep_heap_flat();
  // A write beyond `ulimit -f` shall be an error with a message, as on a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int code = run(argc, argv);
    prune::cli::write_stdout("");  // what the parser's help wrote may not have arrived
    prune::cli::check_log();
    return code;
  } catch (const std::exception& exception) {
    const prune::Error error = prune::as_error(exception);
    return fail(error.kind(), error.what());
  }
}
