#include <gtest/gtest.h>
#include <prune/kernels/packed_weight.h>

#include "kernels/random_weights.h"

namespace prune::kernels {
namespace {

using test::pruned;
using test::random_codes;

/// @param tolerance of the products' magnitudes, beside the rounding of the result
void expect_products(const PackedWeight& packed, const Tensor& weight, at::ScalarType dtype,
                     double tolerance) {
  const double unit = dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
  const Tensor bias = at::randn({weight.size(0)}).to(dtype);
  // Nine are multiplied as a matrix.
  for (const int64_t tokens : {1, 2, 5, 8, 9}) {
    const Tensor x = at::randn({tokens, weight.size(1)}).to(dtype);
    const Tensor want = at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
    const Tensor magnitude = x.abs().to(at::kDouble).matmul(weight.abs().to(at::kDouble).t());
    const Tensor y = packed.affine(x.to(at::kCUDA), bias.to(at::kCUDA)).cpu();
    // Beside the sums, cuBLAS rounds codes times scales, which nine tokens meet.
    const Tensor allowed = want.abs().add(magnitude).mul(unit).add(magnitude.mul(tolerance));
    EXPECT_EQ(y.scalar_type(), dtype);
    EXPECT_LE(y.to(at::kDouble).sub(want).abs().div(allowed.add(1e-6)).max().item<double>(), 1.0)
        << packed.form() << ", " << tokens << " tokens";
  }
}

class WarpMatrix : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
    at::manual_seed(1);
  }
};

TEST_F(WarpMatrix, ElementsOf16Bits) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    for (const double sparsity : {0.3, 0.5, 0.7, 0.95}) {
      const Tensor weight = pruned(at::randn({1000, 4100}), sparsity).to(dtype);
      expect_products(*pack_weight(weight, at::kCUDA), weight, dtype, 1e-5);
    }
  }
}

TEST_F(WarpMatrix, Codes) {
  for (const int64_t wbits : {4, 8}) {
    for (const int64_t groups : {32, 64}) {
      for (const double sparsity : {0.0, 0.5, 0.7}) {
        const auto weight = random_codes(1000, 4096, groups, wbits, sparsity, true, at::kBFloat16);
        expect_products(*pack_weight(weight, at::kCUDA), test::exact(weight), at::kBFloat16, 1e-4);
      }
    }
  }
}

TEST_F(WarpMatrix, BalancedCodes) {
  const auto weight = random_codes(1000, 4096, 32, 4, 0.0, true, at::kHalf);
  const Tensor by_run = weight.codes.unflatten(1, {-1, 16});
  by_run.narrow(-1, 4, 12).fill_(0);
  const auto packed = pack_weight(weight, at::kCUDA);
  EXPECT_EQ(packed->form(), "balanced mask + 4 bits");
  expect_products(*packed, test::exact(weight), at::kHalf, 1e-4);
}

}  // namespace
}  // namespace prune::kernels
