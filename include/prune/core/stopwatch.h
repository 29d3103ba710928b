#pragma once

#include <chrono>

namespace prune {

/// Seconds of wall time since its construction, or since the last lap.
class Stopwatch {
 public:
  /// Starts again. @return elapsed_s()
  double lap_s() {
    const double elapsed = elapsed_s();
    *this = Stopwatch();
    return elapsed;
  }
  double elapsed_s() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace prune
