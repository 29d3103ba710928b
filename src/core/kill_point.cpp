#include <prune/core/kill_point.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>

namespace prune {
namespace {

std::string environment(const char* variable) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? "" : text;
}

struct Target {
  std::string name;
  int calls = 0;
  int signal = SIGKILL;
};

Target read_target() {
  const std::string text = environment("PRUNE_TEST_KILL_AT");
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {};
  const std::string signal = environment("PRUNE_TEST_SIGNAL");
  return {.name = text.substr(0, colon),
          .calls = std::atoi(text.c_str() + colon + 1),
          .signal = signal.empty() ? SIGKILL : std::atoi(signal.c_str())};
}

}  // namespace

void kill_point(const char* name) {
  static const Target kTarget = read_target();
  static std::atomic<int> calls = 0;
  if (kTarget.name == name && ++calls == kTarget.calls) std::raise(kTarget.signal);
}

}  // namespace prune
