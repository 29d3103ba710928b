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
  accumulator.add(all_rows(x.slice(0, 0, 4)));
  accumulator.add(all_rows(x.slice(0, 4, 6)));
  EXPECT_EQ(accumulator.samples(), 6);
  const Tensor h = accumulator.finish();
  const Tensor flat = x.flatten(0, 1).to(at::kDouble);
  const Tensor want = at::matmul(flat.t(), flat) * (2.0 / 6.0);
  // Each of 300 products is rounded to float32.
  EXPECT_LT((h.to(at::kDouble) - want).abs().max().item<double>(),
            300 * 1.2e-7 * want.abs().max().item<double>());
  EXPECT_TRUE(h.equal(h.t())) << "exactly symmetric";
}

// An expert's Hessian: rows in any sequence, samples without a row count in N.
TEST(HessianAccumulator, TakesTheRowsThatThereAre) {
  const Tensor x = random_inputs(4, 50, 300).flatten(0, 1);
  const Tensor taken = at::tensor({150, 3, 199, 0, 151}, at::kLong);  // of samples 3, 0, 3, 0, 3
  HessianAccumulator accumulator(300, at::kCPU);
  accumulator.add({.x = x.index_select(0, taken), .sample = taken.floor_divide(50), .samples = 4});
  accumulator.add({.x = x.slice(0, 0, 0), .sample = taken.slice(0, 0, 0), .samples = 1});
  EXPECT_EQ(accumulator.samples(), 5);
  const Tensor rows = x.index_select(0, taken).to(at::kDouble);
  const Tensor want = at::matmul(rows.t(), rows) * (2.0 / 5.0);
  EXPECT_LT((accumulator.finish().to(at::kDouble) - want).abs().max().item<double>(),
            5 * 1.2e-7 * want.abs().max().item<double>());
}

TEST(HessianAccumulator, HalfInputsLoseNothingButTheirOwnRounding) {
  const Tensor x = random_inputs(2, 40, 64).to(at::kHalf);
  HessianAccumulator half(64, at::kCPU);
  half.add(all_rows(x));
  HessianAccumulator full(64, at::kCPU);
  full.add(all_rows(x.to(at::kFloat)));
  EXPECT_TRUE(half.finish().equal(full.finish()));
}

// Where the processor multiplies bfloat16, its products are accumulated in float32 as they are: only the sequence of
// the additions differs.
TEST(HessianAccumulator, BfloatInputsLoseNothingButTheirOwnRounding) {
  const Tensor x = random_inputs(2, 50, 600).to(at::kBFloat16);
  HessianAccumulator accumulator(600, at::kCPU);
  accumulator.add(all_rows(x));
  accumulator.add(all_rows(x));
  const Tensor rows = x.flatten(0, 1).to(at::kDouble);
  const Tensor want = rows.t().mm(rows);
  EXPECT_LT((accumulator.finish().to(at::kDouble) - want).abs().max().item<double>(),
            10 * 1.2e-7 * want.abs().max().item<double>());
}

// More columns than a panel has on a GPU; 16-bit activations are multiplied as they are.
TEST(HessianAccumulator, CudaAgreesWithTheCpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16, at::kFloat}) {
    const Tensor x = random_inputs(3, 40, 2100).to(dtype);
    HessianAccumulator cpu(2100, at::kCPU);
    HessianAccumulator cuda(2100, at::kCUDA);
    for (const auto& [begin, end] : {std::pair(0, 2), std::pair(2, 3)}) {
      cpu.add(all_rows(x.slice(0, begin, end)));
      cuda.add(all_rows(x.slice(0, begin, end).to(at::kCUDA)));
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
    accumulator.add(all_rows(x.slice(0, 0, 2)));
    accumulator.add(all_rows(x.slice(0, 2, 5)));
    EXPECT_THAT(error_of(ErrorKind::kNumeric, [&] { accumulator.finish(); }),
                HasSubstr("calibration sample 3"));
    const Tensor rows = x.select(1, 7);
    const Tensor sample = at::tensor({4, 0, 1, 2, 3}, at::kLong);
    accumulator = HessianAccumulator(16, at::kCPU);
    accumulator.add({.x = rows, .sample = sample, .samples = 5});
    EXPECT_THAT(error_of(ErrorKind::kNumeric, [&] { accumulator.finish(); }),
                HasSubstr("calibration sample 2"));
  }
}

}  // namespace
}  // namespace prune::hessian
