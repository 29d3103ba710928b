#include <ATen/Context.h>
#include <prune/core/product.h>

#include "support.h"

namespace prune {
namespace {

double error(const Tensor& got, const Tensor& want) {
  return (got.to(at::kDouble) - want).abs().max().item<double>();
}

// Whoever multiplies: views of all kinds, with and without a bias, to float32's accuracy.
TEST(Product, IsThatOfDoublesToTheLastBits) {
  at::manual_seed(1);
  const Tensor x = at::randn({3, 5, 96});
  const Tensor weight = at::randn({64, 96});
  const Tensor bias = at::randn({64});
  const auto d = [](const Tensor& t) { return t.to(at::kDouble); };
  EXPECT_LT(error(affine(x, weight, bias), at::linear(d(x), d(weight), d(bias))), 1e-4);
  EXPECT_LT(error(affine(x, weight), at::linear(d(x), d(weight))), 1e-4);
  const Tensor columns = x.flatten(0, 1).t().slice(0, 8, 40);  // [32, 15], strided
  EXPECT_LT(error(affine(columns, columns), at::mm(d(columns), d(columns).t())), 1e-4);
}

TEST(Product, KeepsItsDtype) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kDouble, at::kFloat}) {
    const Tensor a = at::ones({4, 8}, dtype);
    EXPECT_EQ(affine(a, a).scalar_type(), dtype);
    EXPECT_EQ(affine(a, a)[0][0].item<double>(), 8.0);
  }
}

}  // namespace
}  // namespace prune
