#include <unistd.h>

#include <cstddef>
#include <string_view>

// Threads of an OpenMP team wait for each other by spinning, for milliseconds, before they sleep. Where another
// process wants the core that a thread spins on, a run takes many times its share of time longer. Only the
// environment can say that they shall sleep at once, and the OpenMP library reads it while the program is loaded. So the
// program starts itself again with OMP_WAIT_POLICY=PASSIVE, before any library is initialised: that costs a few
// milliseconds. A user's own setting stays.

namespace {

constexpr std::string_view kPassive = "OMP_WAIT_POLICY=PASSIVE";
constexpr size_t kMostVariables = 4096;

bool decides_how_to_wait(std::string_view variable) {
  return variable.starts_with("OMP_WAIT_POLICY=") || variable.starts_with("GOMP_SPINCOUNT=") ||
         variable.starts_with("KMP_BLOCKTIME=");
}

// The C library is loaded but not initialised: system calls only. Returns if the environment is fine, or if
// starting again fails, which costs speed only.
void wait_passively(int /*argc*/, char** argv, char** environment) {
  static char* extended[kMostVariables + 2];
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMostVariables || decides_how_to_wait(environment[count])) return;
    extended[count] = environment[count];
  }
  extended[count] = const_cast<char*>(kPassive.data());
  static char program[4096];
  const ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (size > 0) execve(program, argv, extended);
}

// Functions listed here run before the initialisers of all libraries.
[[gnu::section(".preinit_array"), gnu::used]] void (*const kBeforeLibraries)(int, char**, char**) =
    &wait_passively;

}  // namespace
