#include <prune/hessian/accumulator.h>
#include <prune/hessian/energies.h>
#include <prune/hessian/factorize.h>

#include "support.h"

namespace prune::hessian {
namespace {

// tr(W H Wᵀ) from the outputs, batch by batch, is that from the Hessian.
TEST(OutputEnergy, IsTheTraceOfTheHessianInTheOutputs) {
  at::manual_seed(1);
  const Tensor weight = at::randn({6, 8});
  const Tensor bias = at::randn({6});
  const Tensor x = at::randn({5, 4, 8});
  HessianAccumulator accumulator(8, at::kCPU);
  OutputEnergy energy;
  for (const auto& [begin, end] : {std::pair{0, 2}, {2, 5}}) {
    const Tensor batch = x.slice(0, begin, end);
    accumulator.add(all_rows(batch));
    energy.add(at::linear(batch, weight, bias), bias);
  }
  const Tensor h = accumulator.finish();
  const double want = weight.mm(h).mul(weight).sum().item<double>();
  EXPECT_EQ(energy.batches().size(0), 2);
  EXPECT_NEAR(OutputEnergy::of(energy.batches(), 5), want, 1e-5 * want);
}

TEST(ColumnNorms, AreThoseOfTheActivationsWithoutDamp) {
  at::manual_seed(2);
  Tensor x = at::randn({1, 16, 4});
  x.select(2, 3).zero_();  // a dead column
  HessianAccumulator accumulator(4, at::kCPU);
  accumulator.add(all_rows(x));
  Tensor h = accumulator.finish();
  const Tensor norms = column_norms(factorize_(h, 0.1));
  const Tensor want = x.flatten(0, 1).square().sum(0).mul(2.0).sqrt();
  EXPECT_LT((norms - want).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(norms[3].item<float>(), 0.0F);
}

}  // namespace
}  // namespace prune::hessian
