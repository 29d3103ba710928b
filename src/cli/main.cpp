#include <c10/util/Exception.h>
#include <prune/core/error.h>
#include <prune/core/memory.h>

#include <cstdio>
#include <new>
#include <string_view>

#include "command_line.h"
#include "terminal.h"

namespace {

int run(int argc, const char* const* argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "eval") return prune::cli::run_eval_command(argc - 1, argv + 1);
  if (command == "inspect") return prune::cli::run_inspect_command(argc - 1, argv + 1);
  return prune::cli::run_prune_command(argc, argv);
}

// One line, whatever the message brought along.
int fail(prune::ErrorKind kind, std::string message) {
  message = message.substr(0, message.find('\n'));
  prune::cli::clear_live_line();
  fmt::print(stderr, "prune: {}: {}\n", prune::kind_name(kind), message);
  return prune::exit_code(kind);
}

}  // namespace

int main(int argc, char** argv) {
  prune::return_freed_memory();
  try {
    return run(argc, argv);
  } catch (const prune::Error& error) {
    return fail(error.kind(), error.what());
  } catch (const c10::OutOfMemoryError& error) {
    return fail(prune::ErrorKind::kDevice, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    // The CPU allocator has no exception type of its own.
    const std::string_view what = error.what_without_backtrace();
    const bool memory = what.find("alloc") != std::string_view::npos;
    return fail(memory ? prune::ErrorKind::kDevice : prune::ErrorKind::kInternal,
                std::string(what));
  } catch (const std::bad_alloc&) {
    return fail(prune::ErrorKind::kDevice, "out of memory");
  } catch (const std::exception& error) {
    return fail(prune::ErrorKind::kInternal, error.what());
  }
}
