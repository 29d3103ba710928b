#include <gtest/gtest.h>
#include <prune/kernels/instruction_set.h>

#include "kernels/random_weights.h"
#include "packed_products.h"

namespace prune::kernels {
namespace {

struct Twin {
  const char* name;
  const detail::TileKernels* kernels;
};

// The kernels that this machine runs.
std::vector<Twin> twins() {
  std::vector<Twin> result = {{"portable", &detail::tile_kernels_portable()}};
  if (instruction_set() != InstructionSet::kPortable) {
    result.push_back({"AVX2", &detail::tile_kernels_avx2()});
  }
  if (expands_bytes()) result.push_back({"AVX-512", &detail::tile_kernels_avx512()});
  return result;
}

using test::pruned;
using test::random_codes;

// Products of some tokens by every twin, which agree to the last bit, and with float64 to `tolerance` of the products'
// magnitudes.
void expect_products(const PackedMatrix& packed, const Tensor& weight, double tolerance) {
  for (const int64_t tokens : {1, 2, 3, 4, 8}) {
    const Tensor x = at::randn({tokens, packed.cols()});
    const Tensor want = x.to(at::kDouble).matmul(weight.to(at::kDouble).t());
    const Tensor magnitude = x.abs().to(at::kDouble).matmul(weight.abs().to(at::kDouble).t());
    const Tensor first = multiply_few(packed, x, detail::tile_kernels_portable());
    EXPECT_LE((first - want).abs().div(magnitude.add(1e-30)).max().item<double>(), tolerance)
        << packed.form() << ", " << tokens << " tokens";
    for (const Twin& twin : twins()) {
      EXPECT_TRUE(multiply_few(packed, x, *twin.kernels).equal(first))
          << twin.name << ", " << packed.form() << ", " << tokens << " tokens";
    }
    // A token's product does not depend on its neighbours.
    const Tensor alone =
        multiply_few(packed, x.narrow(0, tokens - 1, 1).contiguous(), detail::tile_kernels());
    EXPECT_TRUE(alone.equal(first.narrow(0, tokens - 1, 1))) << packed.form();
  }
}

void expect_expands(const PackedMatrix& packed, const Tensor& weight) {
  for (const Twin& twin : twins()) {
    EXPECT_TRUE(expand_rows(packed, 0, packed.rows(), *twin.kernels).equal(weight.to(at::kFloat)))
        << twin.name << ", " << packed.form();
  }
  if (packed.rows() <= 16) return;
  const int64_t rest = packed.rows() - 16;
  EXPECT_TRUE(packed.expand(16, rest).equal(weight.narrow(0, 16, rest).to(at::kFloat)));
}

// float32 rounds each of cols sums.
double rounding_of_sums(int64_t cols) { return static_cast<double>(cols) * 6e-8; }

constexpr int64_t kShapes[][2] = {{16, 16}, {1, 1}, {37, 150}, {48, 257}, {272, 1024}};

TEST(PackedMatrix, ElementsOf16Bits) {
  at::manual_seed(1);
  for (const auto& [rows, cols] : kShapes) {
    for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
      for (const double sparsity : {0.0, 0.03, 0.5, 0.9, 1.0}) {
        const Tensor weight = pruned(at::randn({rows, cols}), sparsity).to(dtype);
        const PackedMatrix packed = PackedMatrix::pack(weight);
        expect_expands(packed, weight);
        expect_products(packed, weight, rounding_of_sums(cols));
      }
    }
  }
}

TEST(PackedMatrix, LeavesZerosOutWhereThatIsSmaller) {
  at::manual_seed(2);
  const Tensor dense = at::randn({256, 512}).to(at::kBFloat16);
  EXPECT_EQ(PackedMatrix::pack(dense).form(), "16 bits");
  const PackedMatrix sparse = PackedMatrix::pack(pruned(dense, 0.7));
  EXPECT_EQ(sparse.form(), "mask + 16 bits");
  EXPECT_NEAR(static_cast<double>(sparse.size_bytes()) * 8 / (256 * 512), 1 + 0.3 * 16, 0.2);
  const auto codes = random_codes(256, 512, 4, 4, 0.7, true, at::kBFloat16);
  EXPECT_EQ(PackedMatrix::pack(codes)->form(), "mask + 4 bits");
  EXPECT_NEAR(static_cast<double>(PackedMatrix::pack(codes)->size_bytes()) * 8 / (256 * 512),
              1 + 0.3 * 4 + 16.0 / 128, 0.1);
  EXPECT_EQ(PackedMatrix::pack(random_codes(256, 512, 4, 4, 0, true, at::kBFloat16))->form(),
            "4 bits");
}

TEST(PackedMatrix, Codes) {
  at::manual_seed(3);
  struct Case {
    int64_t rows, cols, groups, wbits;
    bool symmetric;
    at::ScalarType scale;
  };
  const Case cases[] = {{16, 128, 1, 4, true, at::kBFloat16}, {37, 256, 2, 4, true, at::kHalf},
                        {48, 192, 6, 3, true, at::kBFloat16}, {20, 100, 1, 8, true, at::kBFloat16},
                        {33, 384, 3, 8, true, at::kHalf},     {33, 256, 4, 4, false, at::kBFloat16},
                        {16, 512, 2, 2, false, at::kHalf}};
  for (const Case& c : cases) {
    for (const double sparsity : {0.0, 0.5, 0.8, 1.0}) {
      const QuantizedWeight weight =
          random_codes(c.rows, c.cols, c.groups, c.wbits, sparsity, c.symmetric, c.scale);
      const auto packed = PackedMatrix::pack(weight);
      ASSERT_TRUE(packed.has_value());
      expect_expands(*packed, dequantize(weight));
      // Half a step of the activations, 1/65024 of the group's largest, which may be 4.5 times a mean magnitude of 0.8.
      expect_products(*packed, test::exact(weight), 1e-4 + rounding_of_sums(c.cols));
    }
  }
}

TEST(PackedMatrix, RefusesCodesThatItCannotHold) {
  EXPECT_FALSE(PackedMatrix::pack(random_codes(16, 64, 4, 4, 0.5, true, at::kBFloat16)));
  EXPECT_FALSE(PackedMatrix::pack(random_codes(16, 64, 1, 4, 0.5, true, at::kFloat)));
  EXPECT_FALSE(PackedMatrix::pack(random_codes(16, 64, 1, 8, 0.5, false, at::kBFloat16)));
}

TEST(PackedMatrix, ManyTokensAreMultipliedAsAMatrix) {
  at::manual_seed(4);
  const Tensor weight = pruned(at::randn({700, 600}), 0.6).to(at::kBFloat16);
  const PackedMatrix packed = PackedMatrix::pack(weight);
  const Tensor x = at::randn({3, 7, 600});
  const Tensor bias = at::randn({700});
  const Tensor want = at::linear(x, weight.to(at::kFloat), bias);
  EXPECT_TRUE(at::allclose(packed.affine(x, bias), want, 1e-5, 1e-4));
  const Tensor few = x.narrow(1, 0, 2).narrow(0, 0, 1);
  EXPECT_TRUE(
      at::allclose(packed.affine(few, bias), want.narrow(1, 0, 2).narrow(0, 0, 1), 1e-5, 1e-4));
}

TEST(PackedMatrix, MultipliesActivationsInBfloat16) {
  at::manual_seed(5);
  const Tensor weight = pruned(at::randn({700, 600}), 0.6).to(at::kBFloat16);
  const PackedMatrix packed = PackedMatrix::pack(weight);
  const Tensor bias = at::randn({700}).to(at::kBFloat16);
  for (const int64_t tokens : {1, 5, 40}) {
    const Tensor x = at::randn({tokens, 600}).to(at::kBFloat16);
    const Tensor want = at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
    const Tensor y = packed.affine(x, bias);
    EXPECT_EQ(y.scalar_type(), at::kBFloat16);
    // The result is rounded to 8 bits; products of many tokens once more before the bias.
    EXPECT_TRUE(at::allclose(y.to(at::kDouble), want, 0x1p-7, 0x1p-7)) << tokens;
  }
}

TEST(PackedMatrix, AnActivationThatIsNotFiniteIsSeen) {
  const auto packed = PackedMatrix::pack(random_codes(16, 128, 1, 4, 0.5, true, at::kBFloat16));
  for (const double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    for (const int64_t tokens : {1, 2}) {
      Tensor x = at::ones({tokens, 128});
      x[tokens - 1][3] = bad;
      for (const Twin& twin : twins()) {
        const Tensor y = multiply_few(*packed, x, *twin.kernels);
        EXPECT_TRUE(at::isnan(y[tokens - 1]).all().item<bool>()) << twin.name;
        EXPECT_EQ(at::isnan(y).sum().item<int64_t>(), 16) << twin.name;
      }
    }
  }
}

}  // namespace
}  // namespace prune::kernels
