#include <gtest/gtest.h>

#include "kernels/random_weights.h"
#include "kernels/warp_emulator.h"

// The emulator must come first: it defines the CUDA keywords that the kernels' source uses.
#include "warp_kernels.cuh"
#include "warp_packer.h"

namespace prune::kernels {
namespace {

using detail::Arrangement;
using test::pruned;
using test::random_codes;
using test::fibre::Launch;
using test::fibre::Order;

uint16_t* bits_of(const Tensor& tensor) {
  return reinterpret_cast<uint16_t*>(tensor.mutable_data_ptr<int16_t>());
}

/// x Wᵀ + b as WarpMatrix computes it on a GPU. @param x [tokens, cols] of 16 bits
Tensor emulated_product(const WarpRecords& weight, const Tensor& x, const Tensor& bias,
                        const Launch& launch) {
  const detail::WarpTiles tiles = weight.view();
  const int64_t tokens = x.size(0);
  const auto bytes = [&] { return at::full({tokens, tiles.padded_cols()}, 85, at::kChar); };
  const Tensor high = bytes();
  const Tensor low = bytes();
  const Tensor groups = at::empty({tiles.groups(), detail::kMostTokens, 4}, at::kInt);
  const Tensor padded =
      at::constant_pad_nd(x, {0, tiles.padded_cols() - x.size(1)}).view(at::kShort);
  const Tensor given = x.contiguous().view(at::kShort);
  auto* group = reinterpret_cast<detail::GroupOfToken*>(groups.mutable_data_ptr<int32_t>());
  if (detail::is_code(tiles.element)) {
    const detail::WarpRounding rounding{.weight = tiles,
                                        .tokens = tokens,
                                        .x = bits_of(given),
                                        .high = high.mutable_data_ptr<int8_t>(),
                                        .low = low.mutable_data_ptr<int8_t>(),
                                        .group = group};
    EXPECT_TRUE(detail::launch_rounding(launch, rounding));
  }
  const Tensor y = at::full({tokens, tiles.rows}, -1, at::kShort);
  const Tensor b = bias.view(at::kShort);
  const detail::WarpProduct product{.weight = tiles,
                                    .tokens = tokens,
                                    .x = bits_of(padded),
                                    .high = high.const_data_ptr<int8_t>(),
                                    .low = low.const_data_ptr<int8_t>(),
                                    .group = group,
                                    .bias = bits_of(b),
                                    .y = bits_of(y)};
  EXPECT_TRUE(detail::launch_product(launch, product));
  return y.view(x.scalar_type());
}

/// The dense weight, [rows, cols] of 16 bits, or codes times scales.
Tensor emulated_expansion(const WarpRecords& weight, at::ScalarType dtype) {
  const detail::WarpTiles tiles = weight.view();
  const Tensor to =
      at::full({tiles.blocks() * detail::kBlockRows, tiles.padded_cols()}, -1, at::kShort);
  const Launch launch;
  EXPECT_TRUE(detail::launch_expansion(launch, tiles, bits_of(to)));
  return to.view(dtype).narrow(0, 0, tiles.rows).narrow(1, 0, tiles.cols);
}

/// @param tolerance of the products' magnitudes, beside the rounding of the result to `dtype`
void expect_products(const WarpRecords& packed, const Tensor& weight, at::ScalarType dtype,
                     double tolerance) {
  const Tensor bias = at::randn({weight.size(0)}).to(dtype);
  const double unit = dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
  Tensor first;
  for (const int64_t tokens : {8, 3, 1}) {
    if (!first.defined()) first = at::randn({tokens, weight.size(1)}).to(dtype);
    const Tensor x = first.narrow(0, 0, tokens);
    const Tensor want = at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
    const Tensor magnitude = x.abs().to(at::kDouble).matmul(weight.abs().to(at::kDouble).t());
    const Tensor y = emulated_product(packed, x, bias, {.order = Order::kForward});
    const Tensor allowed = want.abs().mul(unit).add(magnitude.mul(tolerance)).add(1e-6);
    EXPECT_LE(y.to(at::kDouble).sub(want).abs().div(allowed).max().item<double>(), 1.0) << tokens;
    // Neither the sequence of the threads nor the room for records changes a bit.
    const Launch narrow{.order = Order::kBackward, .shared = 100'000};
    EXPECT_TRUE(emulated_product(packed, x, bias, narrow).equal(y));
  }
}

constexpr int64_t kShapes[][2] = {{16, 128}, {1, 1}, {37, 300}, {24, 1500}};

TEST(WarpKernels, ElementsOf16Bits) {
  at::manual_seed(1);
  for (const auto& [rows, cols] : kShapes) {
    for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
      for (const double sparsity : {0.3, 0.7, 1.0}) {
        if (cols == 1500 && sparsity != 0.7) continue;
        const Tensor weight = pruned(at::randn({rows, cols}), sparsity).to(dtype);
        const auto packed = pack_for_warps(weight);
        if (rows * cols < 4096 && !packed) continue;
        ASSERT_TRUE(packed.has_value()) << rows << " x " << cols << ", " << sparsity;
        EXPECT_EQ(packed->shape.arrangement, Arrangement::kMasked);
        EXPECT_TRUE(emulated_expansion(*packed, dtype).equal(weight));
        expect_products(*packed, weight, dtype, 1e-6);
      }
    }
  }
}

TEST(WarpKernels, Codes) {
  at::manual_seed(2);
  struct Case {
    int64_t rows, cols, groups, wbits;
    bool symmetric;
    at::ScalarType scale;
    double sparsity;
    Arrangement arrangement;
  };
  const Case cases[] = {{16, 128, 1, 4, true, at::kBFloat16, 0.0, Arrangement::kDense},
                        {37, 384, 3, 4, true, at::kHalf, 0.5, Arrangement::kMasked},
                        {33, 192, 3, 4, true, at::kBFloat16, 0.8, Arrangement::kMasked},
                        {16, 128, 1, 8, true, at::kHalf, 0.0, Arrangement::kDense},
                        {33, 384, 3, 8, true, at::kHalf, 0.7, Arrangement::kMasked},
                        {18, 256, 4, 4, false, at::kHalf, 0.3, Arrangement::kMasked},
                        {32, 256, 4, 8, true, at::kBFloat16, 0.0, Arrangement::kDense},
                        {16, 1408, 11, 4, true, at::kHalf, 0.7, Arrangement::kMasked},
                        {16, 256, 2, 2, true, at::kHalf, 1.0, Arrangement::kBalanced}};
  for (const Case& c : cases) {
    const QuantizedWeight weight =
        random_codes(c.rows, c.cols, c.groups, c.wbits, c.sparsity, c.symmetric, c.scale);
    const auto packed = pack_for_warps(weight);
    ASSERT_TRUE(packed.has_value());
    EXPECT_EQ(packed->shape.arrangement, c.arrangement) << c.rows << " x " << c.cols;
    EXPECT_TRUE(emulated_expansion(*packed, c.scale).equal(dequantize(weight).to(c.scale)));
    // Half a step of the activations, 1/65024 of the group's largest, which may be 4.5 times a mean magnitude of 0.8.
    expect_products(*packed, test::exact(weight), c.scale, 1e-4);
  }
}

TEST(WarpKernels, BalancedCodes) {
  at::manual_seed(3);
  for (const auto& [rows, cols, groups] : {std::array<int64_t, 3>{37, 384, 3}, {16, 192, 3}}) {
    QuantizedWeight weight = random_codes(rows, cols, groups, 4, 0.0, true, at::kHalf);
    const Tensor by_run = weight.codes.unflatten(1, {-1, detail::kBalancedRun});
    const Tensor rank =
        at::argsort(at::argsort(at::rand(by_run.sizes()), int64_t{-1}), int64_t{-1});
    by_run.masked_fill_(rank.ge(detail::kBalancedKept), 0);
    const auto packed = pack_for_warps(weight);
    ASSERT_TRUE(packed.has_value());
    EXPECT_EQ(packed->shape.arrangement, Arrangement::kBalanced);
    EXPECT_TRUE(emulated_expansion(*packed, at::kHalf).equal(dequantize(weight).to(at::kHalf)));
    expect_products(*packed, test::exact(weight), at::kHalf, 1e-4);
    // One more in one run is too many.
    by_run[rows - 1][1].fill_(1);
    EXPECT_NE(pack_for_warps(weight)->shape.arrangement, Arrangement::kBalanced);
  }
}

TEST(WarpKernels, RefusesWhatItCannotHoldOrWouldEnlarge) {
  at::manual_seed(4);
  EXPECT_FALSE(pack_for_warps(at::randn({64, 256}).to(at::kBFloat16)));
  EXPECT_FALSE(pack_for_warps(random_codes(16, 64, 2, 4, 0.5, true, at::kBFloat16)));
  EXPECT_FALSE(pack_for_warps(random_codes(16, 64, 1, 4, 0.5, true, at::kFloat)));
}

TEST(WarpKernels, SizesAreThoseOfTheFormat) {
  at::manual_seed(5);
  const auto bits = [](const WarpRecords& packed) {
    return static_cast<double>(packed.records.nbytes()) * 8 / (256 * 1024);
  };
  const Tensor weight = pruned(at::randn({256, 1024}), 0.7).to(at::kBFloat16);
  const double header = 8.0 * detail::kStartsBytes / 2048;
  EXPECT_NEAR(bits(*pack_for_warps(weight)), 1 + header + 0.3 * 16, 0.1);
  const auto codes = random_codes(256, 1024, 8, 4, 0.7, true, at::kBFloat16);
  EXPECT_NEAR(bits(*pack_for_warps(codes)), 1 + header + 16.0 / 128 + 0.3 * 4, 0.2);
}

TEST(WarpKernels, AnActivationThatIsNotFiniteIsSeen) {
  at::manual_seed(6);
  const auto packed = pack_for_warps(random_codes(16, 128, 1, 4, 0.5, true, at::kBFloat16));
  for (const double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    Tensor x = at::ones({2, 128}, at::kBFloat16);
    x[1][3] = bad;
    const Tensor y = emulated_product(*packed, x, at::zeros({16}, at::kBFloat16), {});
    EXPECT_TRUE(at::isnan(y[1]).all().item<bool>());
    EXPECT_EQ(at::isnan(y).sum().item<int64_t>(), 16);
  }
}

}  // namespace
}  // namespace prune::kernels
