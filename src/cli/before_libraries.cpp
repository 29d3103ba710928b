#include <unistd.h>

#include <cstddef>
#include <iterator>
#include <string_view>

// What has to happen before any library is initialised. The C library is loaded but not ready, so system calls are
// all that may be used here.

namespace {

// MKL, whose initialiser needs a working directory, ends the process with a line that explains nothing.
void check_working_directory() {
  static char folder[4096];
  constexpr std::string_view kMessage =
      "prune: input error: the working directory does not exist any more; change to another one\n";
  if (getcwd(folder, sizeof(folder)) != nullptr) return;
  const ssize_t written = write(STDERR_FILENO, kMessage.data(), kMessage.size());
  _exit(written < 0 ? 6 : 3);
}

// libgomp's spins are a fraction of a millisecond then: on two cores a run takes a fifth less than without any, and as
// long as by default (scripts/bench/RESULTS.md, "Busy neighbours").
constexpr const char* kWaiting[] = {"OMP_WAIT_POLICY=PASSIVE", "GOMP_SPINCOUNT=10000"};
constexpr size_t kMostVariables = 4096;

bool decides_how_to_wait(std::string_view variable) {
  return variable.starts_with("OMP_WAIT_POLICY=") || variable.starts_with("GOMP_SPINCOUNT=") ||
         variable.starts_with("KMP_BLOCKTIME=");
}

// Threads of an OpenMP team wait for each other by spinning, for many milliseconds, before they sleep. Where another
// process wants the core that a thread spins on, a run takes a multiple of its time. Only the environment can change
// that, and the OpenMP library reads it when it is loaded. So the program starts itself again with kWaiting, which
// takes a few milliseconds this early. A user's own setting stays. If starting again fails, that costs speed only.
void spin_briefly(char** argv, char** environment) {
  static char* extended[kMostVariables + std::size(kWaiting) + 1];
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMostVariables || decides_how_to_wait(environment[count])) return;
    extended[count] = environment[count];
  }
  for (const char* variable : kWaiting) extended[count++] = const_cast<char*>(variable);
  static char program[4096];
  const ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (size > 0) execve(program, argv, extended);
}

void before_libraries(int /*argc*/, char** argv, char** environment) {
  check_working_directory();
  spin_briefly(argv, environment);
}

// Functions in this section run before the initialisers of all libraries.
[[gnu::section(".preinit_array"),
  gnu::used]] void (*const kBeforeLibraries)(int, char**, char**) = &before_libraries;

}  // namespace
