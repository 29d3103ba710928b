#include <prune/core/memory.h>
#include <prune/core/stopwatch.h>
#include <prune/kernels/bandwidth.h>

#include <algorithm>

namespace prune::kernels {

double read_bytes_per_s(at::Device device) {
  constexpr int kPasses = 5;
  const Tensor numbers = at::ones({128 << 20}, at::TensorOptions(device).dtype(at::kFloat));
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    synchronize(device);
    const Stopwatch watch;
    const Tensor sum = numbers.sum();
    synchronize(device);
    best = std::max(best, static_cast<double>(numbers.nbytes()) / watch.elapsed_s());
  }
  return best;
}

}  // namespace prune::kernels
