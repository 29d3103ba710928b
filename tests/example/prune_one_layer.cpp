// Prunes one linear layer to 70 %: Hessian of its activations, factorisation, SparseGPT's column
// loop.
#include <ATen/ATen.h>
#include <prune/hessian/accumulator.h>
#include <prune/hessian/factorize.h>
#include <prune/solver/prune_weight.h>

#include <cstdio>

int main() {
  at::manual_seed(0);
  const at::Tensor x = at::randn({16, 128, 64}) + at::randn({16, 128, 1});  // correlated columns
  at::Tensor weight = at::randn({32, 64});
  const at::Tensor before = x.matmul(weight.t());

  prune::hessian::HessianAccumulator accumulator(64, at::kCPU);
  accumulator.add(prune::hessian::all_rows(x));
  at::Tensor hessian = accumulator.finish();
  const auto factor = prune::hessian::factorize_(hessian, 0.01);
  const auto result = prune::solver::prune_weight_(weight, factor, {.sparsity = 0.7});

  const double error = (x.matmul(weight.t()) - before).norm().item<double>();
  std::printf("%ld of %ld weights are zero, relative error of the output %.3f\n",
              static_cast<long>(result.zeros), static_cast<long>(weight.numel()),
              error / before.norm().item<double>());
  return result.zeros == 1434 ? 0 : 1;  // round(0.7 * 2048)
}
