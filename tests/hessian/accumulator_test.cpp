#include <ATen/CPUGeneratorImpl.h>
#include <prune/hessian/accumulator.h>

#include <limits>

#include "support.h"

namespace prune::hessian {
namespace {

using test::error_of;
using testing::HasSubstr;

Tensor random_inputs(int64_t samples, int64_t seqlen, int64_t cols) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
  return at::empty({samples, seqlen, cols}, at::kFloat).normal_(0.0, 1.0, generator);
}

// More columns than one panel has, so that panels and their mirror are covered.
TEST(HessianAccumulator, IsTwiceTheMeanOverSamplesOfOuterProducts) {
  const Tensor x = random_inputs(6, 50, 1100);
  HessianAccumulator accumulator(1100, at::kCPU);
  accumulator.add(x.slice(0, 0, 4));
  accumulator.add(x.slice(0, 4, 6));
  EXPECT_EQ(accumulator.samples(), 6);
  const Tensor h = accumulator.finish();
  const Tensor flat = x.flatten(0, 1).to(at::kDouble);
  const Tensor want = at::matmul(flat.t(), flat) * (2.0 / 6.0);
  // Each of 300 products is rounded to float32.
  EXPECT_LT((h.to(at::kDouble) - want).abs().max().item<double>(),
            300 * 1.2e-7 * want.abs().max().item<double>());
  EXPECT_TRUE(h.equal(h.t())) << "exactly symmetric";
}

TEST(HessianAccumulator, HalfInputsLoseNothingButTheirOwnRounding) {
  const Tensor x = random_inputs(2, 40, 64).to(at::kHalf);
  HessianAccumulator half(64, at::kCPU);
  half.add(x);
  HessianAccumulator full(64, at::kCPU);
  full.add(x.to(at::kFloat));
  EXPECT_TRUE(half.finish().equal(full.finish()));
}

// More columns than a panel has on a GPU; 16-bit activations are multiplied as they are.
TEST(HessianAccumulator, CudaAgreesWithTheCpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16, at::kFloat}) {
    const Tensor x = random_inputs(3, 40, 2100).to(dtype);
    HessianAccumulator cpu(2100, at::kCPU);
    HessianAccumulator cuda(2100, at::kCUDA);
    for (const auto& [begin, end] : {std::pair(0, 2), std::pair(2, 3)}) {
      cpu.add(x.slice(0, begin, end));
      cuda.add(x.slice(0, begin, end).to(at::kCUDA));
    }
    const Tensor want = cpu.finish();
    const Tensor got = cuda.finish().cpu();
    // 120 products, added in another sequence.
    EXPECT_LT((got - want).abs().max().item<double>(),
              120 * 1.2e-7 * want.abs().max().item<double>())
        << dtype_name(dtype);
    EXPECT_TRUE(got.equal(got.t())) << "exactly symmetric";
  }
}

TEST(HessianAccumulator, NamesTheSampleThatIsNotFinite) {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    Tensor x = random_inputs(5, 8, 16);
    x[3][7][2] = bad;
    HessianAccumulator accumulator(16, at::kCPU);
    accumulator.add(x.slice(0, 0, 2));
    accumulator.add(x.slice(0, 2, 5));
    EXPECT_THAT(error_of(ErrorKind::kNumeric, [&] { accumulator.finish(); }),
                HasSubstr("calibration sample 3"));
  }
}

}  // namespace
}  // namespace prune::hessian
