#pragma once

#include <prune/core/allocation_counter.h>
#include <prune/core/tensor.h>

#include <vector>

namespace prune::plan {

/// Memory in bytes. On a CPU run all of it is the host's.
struct Bytes {
  double host = 0.0;
  double device = 0.0;

  Bytes operator+(const Bytes& other) const { return {host + other.host, device + other.device}; }
  Bytes operator-(const Bytes& other) const { return {host - other.host, device - other.device}; }
  Bytes operator*(double factor) const { return {host * factor, device * factor}; }
  double total() const { return host + device; }
};

/// What one call of a function costs.
struct Cost {
  double elapsed_s = 0.0;
  Bytes peak;  ///< the most it held at once, beyond what was held before
  Bytes kept;  ///< what it still held afterwards; negative if it freed more
};

/// Measures calls: wall time, CPU tensors by an AllocationCounter, GPU memory by the allocator's statistics.
class Probe {
 public:
  explicit Probe(at::Device device) : device_(device) {}

  template <class Action>
  Cost measure(const Action& action) {
    const Mark before = begin();
    action();
    return end(before);
  }

 private:
  struct Mark {
    double now_s;
    Bytes live;
  };
  Mark begin();
  Cost end(const Mark& before);

  at::Device device_;
  AllocationCounter host_;
};

/// The median of several measurements of one function: of time; memory is that of the last call.
Cost median(std::vector<Cost> costs);

/// The cost at `x`, from measurements at x1 < x2, of something linear in x (rows of a layer).
Cost linear_fit(const Cost& at_x1, double x1, const Cost& at_x2, double x2, double x);

/// The cost of a problem `ratio` times as wide as the second one, which is twice as wide as the first: time and memory
/// by the powers of the width that the two show, within what their functions can have.
/// @param time_power the largest power that the time can grow by: 2 for products of a fixed number of tokens, 3 for a
///        factorization; memory never grows by more than the square
Cost power_fit(const Cost& at_half, const Cost& at_one, double ratio, double time_power);

}  // namespace prune::plan
