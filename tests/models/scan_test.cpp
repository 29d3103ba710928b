// The recurrences of mixers with a state, 64 tokens at a time, against their equations token by token.
#include "scan.h"

#include <gtest/gtest.h>

#include <vector>

namespace prune::models {
namespace {

constexpr int64_t kTokens = 150;  // two chunks and a part of one

struct Rule {
  const char* name;
  bool delta;
  bool by_row;
};

class GatedScan : public testing::TestWithParam<Rule> {
 protected:
  static Tensor random(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }

  // The equations of scan.h.
  Tensor by_token() const {
    Tensor state = at::zeros({2, 3, 5, 4}, at::kDouble);
    std::vector<Tensor> outputs;
    for (int64_t t = 0; t < kTokens; ++t) {
      state = state * decay_.select(2, t).exp().view({2, 3, -1, 1});
      const Tensor key = key_.select(2, t);
      Tensor update = value_.select(2, t);
      if (beta_.defined()) {
        update = beta_.select(2, t).unsqueeze(-1) * (update - (state * key.unsqueeze(-1)).sum(2));
      }
      state = state + key.unsqueeze(-1) * update.unsqueeze(-2);
      outputs.push_back((state * query_.select(2, t).unsqueeze(-1)).sum(2));
    }
    return at::stack(outputs, 2);
  }

  Tensor scan(int64_t first, int64_t end, Tensor& state) const {
    const auto part = [&](const Tensor& x) { return x.slice(2, first, end); };
    return gated_scan(part(query_), part(key_), part(value_), part(decay_),
                      beta_.defined() ? part(beta_) : Tensor(), state);
  }

  Tensor query_ = random({2, 3, kTokens, 5});
  Tensor key_ = random({2, 3, kTokens, 5}) / 3.0;
  Tensor value_ = random({2, 3, kTokens, 4});
  Tensor decay_ =
      (GetParam().by_row ? random({2, 3, kTokens, 5}) : random({2, 3, kTokens})).abs().mul(-0.3);
  Tensor beta_ = GetParam().delta ? at::sigmoid(random({2, 3, kTokens})) : Tensor();
};

TEST_P(GatedScan, FollowsItsEquations) {
  Tensor state;
  EXPECT_TRUE(at::allclose(scan(0, kTokens, state), by_token(), 1e-9, 1e-9));
}

TEST_P(GatedScan, GoesOnFromItsState) {
  Tensor state;
  std::vector<Tensor> parts = {scan(0, 70, state)};
  for (int64_t t = 70; t < kTokens; ++t) parts.push_back(scan(t, t + 1, state));
  EXPECT_TRUE(at::allclose(at::cat(parts, 2), by_token(), 1e-9, 1e-9));
}

INSTANTIATE_TEST_SUITE_P(Rules, GatedScan,
                         testing::Values(Rule{"Mamba", false, false}, Rule{"DeltaNet", true, false},
                                         Rule{"Kimi", true, true}),
                         [](const auto& test) { return test.param.name; });

TEST(CausalConvolution, SeesTheTokensBefore) {
  const Tensor x = at::randn({2, 9, 3}, at::kDouble);
  const Tensor weight = at::randn({3, 1, 4}, at::kDouble);
  Tensor none;
  const Tensor whole = causal_convolution(x, weight, {}, none);
  EXPECT_TRUE(at::allclose(whole.select(1, 0), x.select(1, 0) * weight.select(2, 3).flatten()));
  Tensor before;
  const Tensor parts = at::cat({causal_convolution(x.slice(1, 0, 2), weight, {}, before),
                                causal_convolution(x.slice(1, 2), weight, {}, before)},
                               1);
  EXPECT_TRUE(at::allclose(parts, whole));
}

}  // namespace
}  // namespace prune::models
