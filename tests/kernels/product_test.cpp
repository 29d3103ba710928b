#include <ATen/Context.h>
#include <prune/kernels/product.h>

#include "support.h"

namespace prune::kernels {
namespace {

double error(const Tensor& got, const Tensor& want) {
  return (got.to(at::kDouble) - want).abs().max().item<double>();
}

// Views of all kinds, with and without a bias, to float32's accuracy, whichever library multiplies.
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

TEST(Product, HasTheGradientsOfADoubleProduct) {
  at::manual_seed(2);
  const Tensor x = at::randn({2, 3, 32});
  const Tensor weight = at::randn({16, 32});
  const Tensor bias = at::randn({16});
  const auto gradients = [](const Tensor& a, const Tensor& w, const Tensor& b,
                            const auto& product) {
    const std::vector<Tensor> leaves = {a.clone().requires_grad_(), w.clone().requires_grad_(),
                                        b.clone().requires_grad_()};
    product(leaves[0], leaves[1], leaves[2]).square().sum().backward();
    return std::vector<Tensor>{leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
  };
  const auto d = [](const Tensor& t) { return t.to(at::kDouble); };
  const std::vector<Tensor> want = gradients(
      d(x), d(weight), d(bias),
      [](const Tensor& a, const Tensor& w, const Tensor& b) { return at::linear(a, w, b); });
  const std::vector<Tensor> got = gradients(x, weight, bias, affine);
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_TRUE(got[i].defined()) << "no gradient of operand " << i;
    EXPECT_LT(error(got[i], want[i]), 1e-3) << "operand " << i;
  }
  const Tensor only_weight = weight.clone().requires_grad_();
  affine(x, only_weight).sum().backward();
  EXPECT_LT(error(only_weight.grad(), d(x).flatten(0, 1).sum(0).expand({16, 32})), 1e-4);
}

}  // namespace
}  // namespace prune::kernels
