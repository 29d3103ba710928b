#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "fibre_emulator.h"
#include "support.h"

// The emulator must come first: it defines the CUDA keywords that the kernels' source uses.
#include "column_kernels.cuh"
#include "prune_columns_blocks.h"

namespace prune::solver::detail {
namespace {

using test::fibre::Cta;
using test::fibre::Launch;
using test::fibre::Order;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_floats(std::mt19937& random, int64_t count, float scale = 1.0F) {
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<float> random_v_diag(std::mt19937& random, int64_t count) {
  std::vector<float> values = random_floats(random, count);
  for (float& value : values) value = 0.5F + std::abs(value);
  return values;
}

constexpr auto kCaseName = [](const auto& test_case) { return std::string(test_case.param.name); };

// ---- The emulator itself: faults that it must find

void write_then_read_neighbour(float* out, bool with_barrier) {
  PRUNE_SHARED_ARRAY(float, box, 64);
  const auto thread = threadIdx.x;
  box[thread] = static_cast<float>(thread);
  if (with_barrier) __syncthreads();
  out[thread] = box[(thread + 1) % 64];
}

TEST(FibreEmulator, ShowsAMissingBarrierInOneOfBothOrders) {
  for (const bool with_barrier : {true, false}) {
    bool wrong = false;
    for (const Order order : {Order::kForward, Order::kBackward}) {
      std::vector<float> out(64);
      Cta::run(64, 0, order, [&] { write_then_read_neighbour(out.data(), with_barrier); });
      for (size_t i = 0; i < 64; ++i) wrong |= !(out[i] == static_cast<float>((i + 1) % 64));
    }
    EXPECT_EQ(wrong, !with_barrier);
  }
}

TEST(FibreEmulator, RefusesBarriersThatNotAllThreadsReach) {
  const auto half = [] {
    if (threadIdx.x < 16) __syncthreads();
  };
  const auto mixed = [] {
    if (threadIdx.x % 2 == 0) {
      __syncwarp();
    } else {
      __shfl_sync(0xffffffffU, 0, 0, 32);
    }
  };
  EXPECT_THROW(Cta::run(32, 0, Order::kForward, half), std::logic_error);
  EXPECT_THROW(Cta::run(32, 0, Order::kForward, mixed), std::logic_error);
}

TEST(FibreEmulator, ShufflesWithinTheWidth) {
  std::vector<int> out(64);
  Cta::run(64, 0, Order::kBackward, [&] {
    const int thread = static_cast<int>(threadIdx.x);
    out[threadIdx.x] = __shfl_sync(0xffffffffU, thread, 3, 8);
  });
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], i / 8 * 8 + 3);
}

// ---- The threshold

struct ThresholdCase {
  const char* name;
  int64_t rows;
  int64_t columns;
};

void PrintTo(const ThresholdCase& c, std::ostream* out) { *out << c.name; }

class ChooseThreshold : public testing::TestWithParam<ThresholdCase> {};

void expect_exact_threshold(const std::vector<float>& weight, const std::vector<float>& v_diag,
                            int64_t rows, int64_t columns, int64_t zeros, Order order) {
  std::vector<ScoreKey> keys;
  for (size_t i = 0; i < weight.size(); ++i) {
    const float v = v_diag[i % static_cast<size_t>(columns)];
    float score = weight[i] * weight[i] * (v * v);
    uint32_t bits;
    std::memcpy(&bits, &score, sizeof bits);
    keys.push_back(ScoreKey{bits & 0x7fffffffU} << 32 | i);
  }
  std::sort(keys.begin(), keys.end());
  auto workspace = std::make_unique<ThresholdWorkspace>();
  std::memset(static_cast<void*>(workspace.get()), 0xff, sizeof(ThresholdWorkspace));
  ScoreKey threshold = 0xdeadbeef;
  Launch launch{order};
  ASSERT_TRUE(choose_threshold(launch, {.weight = weight.data(),
                                        .v_diag = v_diag.data(),
                                        .rows = rows,
                                        .columns = columns,
                                        .zeros = zeros,
                                        .workspace = workspace.get(),
                                        .threshold = &threshold}));
  const auto below = std::lower_bound(keys.begin(), keys.end(), threshold) - keys.begin();
  EXPECT_EQ(below, zeros) << rows << " x " << columns;
  if (zeros > 0) {
    EXPECT_EQ(threshold, keys[static_cast<size_t>(zeros - 1)] + 1);
  }
}

TEST_P(ChooseThreshold, LetsExactlyKWeightsThrough) {
  const auto [name, rows, columns] = GetParam();
  const int64_t n = rows * columns;
  std::mt19937 random(7);
  const std::vector<float> distinct = random_floats(random, n);
  std::vector<float> tied = distinct;  // about nine different scores
  for (float& w : tied) w = std::round(w * 2.0F) / 2.0F;
  std::vector<float> hostile = distinct;
  for (size_t i = 0; i < hostile.size(); i += 5) {
    hostile[i] = std::array{kNan, -kNan, kInfinity, 0.0F, -0.0F, 1e-30F, 3e38F}[i / 5 % 7];
  }
  const std::vector<float> v_diag = random_v_diag(random, columns);
  const std::vector<float> ones(static_cast<size_t>(columns), 1.0F);
  for (const int64_t zeros : {int64_t{0}, int64_t{1}, n / 2, n - 1, n}) {
    if (zeros < 0) continue;
    expect_exact_threshold(distinct, v_diag, rows, columns, zeros, Order::kForward);
    expect_exact_threshold(tied, ones, rows, columns, zeros, Order::kBackward);
    expect_exact_threshold(hostile, v_diag, rows, columns, zeros, Order::kForward);
  }
  const std::vector<float> nothing(static_cast<size_t>(n), 0.0F);
  expect_exact_threshold(nothing, ones, rows, columns, n / 3, Order::kForward);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ChooseThreshold,
    testing::Values(ThresholdCase{"one_weight", 1, 1}, ThresholdCase{"one_row", 1, 300},
                    ThresholdCase{"one_column", 300, 1}, ThresholdCase{"ragged", 37, 100},
                    ThresholdCase{"chunks", 70, 128}, ThresholdCase{"ragged_chunks", 601, 33},
                    ThresholdCase{"wide_block", 9, 1000}),
    kCaseName);

TEST(ChooseThresholdLarge, ManyRowsShareTheChunks) {
  // More rows than kMaxChunks chunks of kMinChunkWeights weights hold, so chunks are larger.
  constexpr int64_t kRows = kMaxChunks * kMinChunkWeights + 5;
  std::mt19937 random(3);
  std::vector<float> weight = random_floats(random, kRows);
  for (float& w : weight) w = std::round(w * 64.0F);
  expect_exact_threshold(weight, {1.0F}, kRows, 1, kRows / 3, Order::kForward);
}

// ---- The column loop

struct PanelCase {
  const char* name;
  int64_t rows;
  int64_t columns;
  int64_t prunen = 0;
  int64_t prunem = 0;
  int64_t zeros = 0;         // unstructured: of the whole block
  int64_t block_offset = 0;  // unstructured: the panel is part of a wider block
  bool ties = false;
};

void PrintTo(const PanelCase& c, std::ostream* out) { *out << c.name; }

// One panel for the kernel and the plain loop. Outputs have a margin on all sides, filled with a
// value that must survive.
struct PanelProblem {
  static constexpr float kUntouched = 12345.0F;

  explicit PanelProblem(const PanelCase& c)
      : rows(c.rows), columns(c.columns), stride(c.columns + 3), block_columns(columns) {
    std::mt19937 random(11);
    block_columns = c.block_offset + c.columns + (c.block_offset > 0 ? 7 : 0);
    block_v_diag = random_v_diag(random, block_columns);
    v_diag.assign(block_v_diag.begin() + c.block_offset,
                  block_v_diag.begin() + c.block_offset + columns);
    entry = random_floats(random, rows * block_columns);
    start = random_floats(random, rows * stride);
    if (c.ties) {
      for (float& value : entry) value = std::round(value * 2.0F) / 2.0F;
      for (float& value : start) value = std::round(value);
      v_diag.assign(v_diag.size(), 1.0F);
      block_v_diag.assign(block_v_diag.size(), 1.0F);
    }
    // The kernel must not read the lower triangle or the diagonal.
    u.assign(static_cast<size_t>(columns * stride), kNan);
    const auto right = random_floats(random, columns * columns, 0.1F);
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = j + 1; i < columns; ++i) {
        u[static_cast<size_t>(j * stride + i)] = right[static_cast<size_t>(j * columns + i)];
      }
    }
    weight.assign(static_cast<size_t>(rows * stride), kUntouched);
    removed = weight;
    mask.assign(static_cast<size_t>(rows * stride), 2);
    const auto dense = random_floats(random, rows * columns);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < columns; ++j) {
        weight[static_cast<size_t>(r * stride + j)] = dense[static_cast<size_t>(r * columns + j)];
      }
    }
    row_loss.assign(static_cast<size_t>(rows), 0.25);
    row_rounding.assign(static_cast<size_t>(rows), 0.0);
  }

  PanelJob job(const PanelCase& c) {
    return {.rows = rows,
            .columns = columns,
            .start = start.data(),
            .start_stride = stride,
            .u = u.data(),
            .u_stride = stride,
            .v_diag = v_diag.data(),
            .weight = weight.data(),
            .weight_stride = stride,
            .removed = removed.data(),
            .removed_stride = stride,
            .mask = reinterpret_cast<bool*>(mask.data()),
            .mask_stride = stride,
            .row_loss = row_loss.data(),
            .row_rounding = row_rounding.data(),
            .threshold = &threshold,
            .entry = c.prunem == 0 ? entry.data() : nullptr,
            .block_columns = block_columns,
            .block_offset = c.block_offset,
            .prunen = c.prunen,
            .prunem = c.prunem};
  }

  int64_t rows;
  int64_t columns;
  int64_t stride;
  int64_t block_columns;
  std::vector<float> block_v_diag, v_diag, entry, start, u, weight, removed;
  std::vector<uint8_t> mask;
  std::vector<double> row_loss;
  std::vector<double> row_rounding;  // of kept weights; unrounded ones add nothing
  ScoreKey threshold = 0;
};

float rounded_to_eighths(float w) { return std::round(w * 8.0F) / 8.0F; }

// SparseGPT's inner loop row by row, with the kernel's sequence of float operations: results must
// agree to the last bit.
template <class Quantize>
void plain_panel(PanelProblem& p, const PanelCase& c, const Quantize& quantize) {
  const auto score = [](float w, float v) { return w * w * (v * v); };
  std::vector<bool> by_threshold(static_cast<size_t>(p.rows * p.block_columns), false);
  if (c.prunem == 0) {
    std::vector<size_t> order(by_threshold.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto of = [&](size_t i) {
      return score(p.entry[i], p.block_v_diag[i % static_cast<size_t>(p.block_columns)]);
    };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return of(a) < of(b); });
    for (int64_t i = 0; i < c.zeros; ++i) by_threshold[order[static_cast<size_t>(i)]] = true;
  }
  for (int64_t r = 0; r < p.rows; ++r) {
    std::vector<float> w(p.start.begin() + r * p.stride,
                         p.start.begin() + r * p.stride + p.columns);
    std::vector<bool> pruned(w.size(), false);
    float loss = 0.0F;
    float rounding = 0.0F;
    for (int64_t j = 0; j < p.columns; ++j) {
      const auto at = static_cast<size_t>(j);
      if (c.prunem == 0) {
        pruned[at] = by_threshold[static_cast<size_t>(r * p.block_columns + c.block_offset + j)];
      } else if (j % c.prunem == 0) {
        std::vector<size_t> group;
        for (int64_t m = 0; m < c.prunem; ++m) group.push_back(static_cast<size_t>(j + m));
        std::stable_sort(group.begin(), group.end(), [&](size_t a, size_t b) {
          return score(w[a], p.v_diag[a]) < score(w[b], p.v_diag[b]);
        });
        for (int64_t n = 0; n < c.prunen; ++n) pruned[group[static_cast<size_t>(n)]] = true;
      }
      const float q = pruned[at] ? 0.0F : quantize(w[at]);
      const float err = (w[at] - q) * p.v_diag[at];
      loss = std::fmaf(err, err, loss);
      if (!pruned[at]) rounding = std::fmaf(err, err, rounding);
      for (size_t i = at + 1; i < w.size(); ++i) {
        w[i] = std::fmaf(-err, p.u[at * static_cast<size_t>(p.stride) + i], w[i]);
      }
      w[at] = q;
    }
    for (int64_t j = 0; j < p.columns; ++j) {
      const auto i = static_cast<size_t>(r * p.stride + j);
      p.removed[i] = p.weight[i] - w[static_cast<size_t>(j)];
      p.weight[i] = w[static_cast<size_t>(j)];
      p.mask[i] = pruned[static_cast<size_t>(j)] ? 1 : 0;
    }
    p.row_loss[static_cast<size_t>(r)] += 0.5 * static_cast<double>(loss);
    p.row_rounding[static_cast<size_t>(r)] += 0.5 * static_cast<double>(rounding);
  }
}

struct RoundToEighths {
  static constexpr bool kRounds = true;
  float operator()(float w, int64_t /*row*/, int64_t /*column*/) const {
    return rounded_to_eighths(w);
  }
};

class PrunePanel : public testing::TestWithParam<PanelCase> {
 protected:
  template <class Kernel, class Plain>
  static void compare(int lanes, Order order, int resident, const Kernel& in_kernel,
                      const Plain& in_plain) {
    const PanelCase& c = GetParam();
    SCOPED_TRACE(testing::Message() << "lanes " << lanes << ", seed 11, order "
                                    << (order == Order::kForward ? "forward" : "backward"));
    PanelProblem got(c);
    PanelProblem want(c);
    plain_panel(want, c, in_plain);
    Launch launch{order, resident};
    if (c.prunem == 0) {
      auto workspace = std::make_unique<ThresholdWorkspace>();
      ASSERT_TRUE(choose_threshold(launch, {.weight = got.entry.data(),
                                            .v_diag = got.block_v_diag.data(),
                                            .rows = c.rows,
                                            .columns = got.block_columns,
                                            .zeros = c.zeros,
                                            .workspace = workspace.get(),
                                            .threshold = &got.threshold}));
    }
    ASSERT_TRUE(run_panel(launch, got.job(c), lanes, in_kernel));
    EXPECT_EQ(got.mask, want.mask);
    EXPECT_EQ(got.weight, want.weight);
    EXPECT_EQ(got.removed, want.removed);
    EXPECT_EQ(got.row_loss, want.row_loss);
    if (Kernel::kRounds) EXPECT_EQ(got.row_rounding, want.row_rounding);
  }
};

TEST_P(PrunePanel, EqualsThePlainLoopToTheLastBit) {
  const auto same = [](float w) { return w; };
  compare(8, Order::kForward, 100, KeepExact{}, same);
  compare(8, Order::kBackward, 1, KeepExact{}, same);
  compare(16, Order::kForward, 2, KeepExact{}, same);
  compare(16, Order::kBackward, 100, KeepExact{}, same);
}

TEST_P(PrunePanel, QuantizesWhatItKeeps) {
  compare(8, Order::kForward, 2, RoundToEighths{}, rounded_to_eighths);
  compare(16, Order::kBackward, 2, RoundToEighths{}, rounded_to_eighths);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PrunePanel,
    testing::Values(
        PanelCase{.name = "one_weight_kept", .rows = 1, .columns = 1},
        PanelCase{.name = "one_weight_pruned", .rows = 1, .columns = 1, .zeros = 1},
        PanelCase{.name = "full", .rows = 32, .columns = 128, .zeros = 2048},
        PanelCase{.name = "nothing", .rows = 20, .columns = 128, .zeros = 0},
        PanelCase{.name = "everything", .rows = 20, .columns = 128, .zeros = 20 * 128},
        PanelCase{.name = "ties", .rows = 40, .columns = 96, .zeros = 1777, .ties = true},
        PanelCase{.name = "ragged_rows", .rows = 71, .columns = 128, .zeros = 6000},
        PanelCase{.name = "ragged_columns", .rows = 33, .columns = 101, .zeros = 1500},
        PanelCase{.name = "narrow", .rows = 50, .columns = 5, .zeros = 100},
        PanelCase{.name = "part_of_block",
                  .rows = 18,
                  .columns = 128,
                  .zeros = 3000,
                  .block_offset = 128},
        PanelCase{.name = "last_part_of_block",
                  .rows = 18,
                  .columns = 41,
                  .zeros = 2500,
                  .block_offset = 256},
        PanelCase{.name = "n2_of_4", .rows = 37, .columns = 128, .prunen = 2, .prunem = 4},
        PanelCase{.name = "n1_of_4", .rows = 16, .columns = 100, .prunen = 1, .prunem = 4},
        PanelCase{.name = "n4_of_8", .rows = 33, .columns = 128, .prunen = 4, .prunem = 8},
        PanelCase{.name = "n4_of_8_ties",
                  .rows = 33,
                  .columns = 120,
                  .prunen = 4,
                  .prunem = 8,
                  .ties = true},
        PanelCase{.name = "n0_of_4", .rows = 5, .columns = 64, .prunen = 0, .prunem = 4},
        PanelCase{.name = "n4_of_4", .rows = 5, .columns = 64, .prunen = 4, .prunem = 4},
        PanelCase{.name = "n2_of_3", .rows = 19, .columns = 126, .prunen = 2, .prunem = 3},
        PanelCase{.name = "n8_of_20", .rows = 9, .columns = 120, .prunen = 8, .prunem = 20},
        PanelCase{.name = "n32_of_64", .rows = 40, .columns = 128, .prunen = 32, .prunem = 64}),
    kCaseName);

TEST(PrunePanelWide, OneGroupOverTheWholePanel) {
  // It does not fit into shared memory with 8 lanes, so 16 are chosen.
  const PanelCase c{.name = "", .rows = 5000, .columns = 128, .prunen = 64, .prunem = 128};
  EXPECT_EQ(choose_lanes({.rows = c.rows, .columns = 128, .prunen = 64, .prunem = 128}), 16);
  EXPECT_EQ(choose_lanes({.rows = c.rows, .columns = 128}), 8);
  EXPECT_EQ(choose_lanes({.rows = 100, .columns = 128}), 16);
  const PanelCase small{.name = "", .rows = 17, .columns = 128, .prunen = 64, .prunem = 128};
  PanelProblem got(small);
  PanelProblem want(small);
  plain_panel(want, small, [](float w) { return w; });
  Launch launch;
  ASSERT_TRUE(run_panel(launch, got.job(small), 16));
  EXPECT_EQ(got.mask, want.mask);
  EXPECT_EQ(got.weight, want.weight);
}

// ---- The block algorithm, with kernels in the emulator and GEMMs on the host

struct EmulatedKernels {
  int64_t threshold_workspace_bytes() const { return sizeof(ThresholdWorkspace); }
  const char* choose_threshold(const ThresholdJob& job) const {
    Launch launch{order};
    return detail::choose_threshold(launch, job) ? nullptr : "failed";
  }
  const char* prune_panel(const PanelJob& job) const {
    Launch launch{order};
    return run_panel_as_asked(launch, job, lanes) ? nullptr : "failed";
  }
  int lanes = 8;
  Order order = Order::kForward;
};

struct LayerCase {
  const char* name;
  int64_t rows;
  int64_t cols;
  SolverOptions options;
  int lanes = 8;
  bool act_order = false;
};

void PrintTo(const LayerCase& c, std::ostream* out) { *out << c.name; }

struct Layer {
  Tensor weight;   // [rows, cols] float64
  Tensor hessian;  // [cols, cols] float64, damped
  Tensor dead;
};

Layer make_layer(int64_t rows, int64_t cols) {
  at::manual_seed(5);
  const auto f64 = at::TensorOptions().dtype(at::kDouble);
  // Neighbouring columns are correlated, so that moving errors matters.
  Tensor x = at::randn({3 * cols, cols}, f64);
  x = (x + 0.7 * x.roll(1, 1)) * at::rand({cols}, f64).add(0.3);
  Layer layer;
  layer.dead = at::zeros({cols}, at::kBool);
  if (cols > 4) {
    layer.dead[cols / 2] = true;
    x.select(1, cols / 2).zero_();
  }
  layer.hessian = x.t().mm(x).mul(2.0 / static_cast<double>(3 * cols));
  layer.hessian.diagonal().masked_fill_(layer.dead, 1.0);
  layer.hessian.diagonal().add_(0.01 * layer.hessian.diagonal().mean());
  // Rounded to float32, so that both sides begin with the same numbers.
  layer.weight = at::randn({rows, cols}, f64).to(at::kFloat).to(at::kDouble);
  return layer;
}

hessian::HessianFactor factor_of(const Layer& layer) {
  const Tensor v = at::linalg_cholesky(layer.hessian.flip({0, 1})).flip({0, 1});
  return {.v = v.to(at::kFloat).contiguous(), .dead = layer.dead};
}

// SparseGPT as published, in float64: U from the three-step chain, lazy blocks.
std::pair<Tensor, Tensor> plain_sparsegpt(const Layer& layer, const SolverOptions& options) {
  Tensor w = layer.weight.clone();
  constexpr std::optional<bool> kStable = true;
  const Tensor upper = at::linalg_cholesky(at::linalg_inv(layer.hessian), /*upper=*/true);
  const int64_t rows = w.size(0);
  const int64_t cols = w.size(1);
  Tensor mask = at::zeros({rows, cols}, at::kBool);
  for (int64_t begin = 0; begin < cols; begin += options.blocksize) {
    const int64_t end = std::min(begin + options.blocksize, cols);
    const Tensor score_all = (w / upper.diagonal()).square().masked_fill(layer.dead, 0.0);
    if (options.prunem == 0) {
      const Tensor flat = score_all.slice(1, begin, end).reshape({-1});
      const Tensor order = std::get<1>(at::sort(flat, kStable, /*dim=*/0));
      const int64_t zeros = block_zeros(rows, begin, end, options.sparsity);
      Tensor chosen = at::zeros_like(flat, at::kBool);
      chosen.index_fill_(0, order.slice(0, 0, zeros), true);
      mask.slice(1, begin, end).copy_(chosen.reshape({rows, end - begin}));
    }
    for (int64_t j = begin; j < end; ++j) {
      if (options.prunem != 0 && j % options.prunem == 0) {
        const Tensor score =
            (w.slice(1, j, j + options.prunem) / upper.diagonal().slice(0, j, j + options.prunem))
                .square()
                .masked_fill(layer.dead.slice(0, j, j + options.prunem), 0.0);
        const Tensor order = std::get<1>(at::sort(score, kStable, /*dim=*/1));
        mask.slice(1, j, j + options.prunem).scatter_(1, order.slice(1, 0, options.prunen), true);
      }
      const Tensor q = w.select(1, j).masked_fill(mask.select(1, j), 0.0);
      const Tensor err = (w.select(1, j) - q) / upper[j][j];
      w.slice(1, j + 1).sub_(err.unsqueeze(1) * upper[j].slice(0, j + 1));
      w.select(1, j).copy_(q);
    }
  }
  return {w, mask};
}

double reconstruction_error(const Layer& layer, const Tensor& weight) {
  // Weights of dead columns do not change the output.
  const Tensor change = (weight.to(at::kDouble) - layer.weight).masked_fill(layer.dead, 0.0);
  return change.mm(layer.hessian).mul(change).sum().item<double>();
}

class PruneByBlocks : public testing::TestWithParam<LayerCase> {};

TEST_P(PruneByBlocks, AgreesWithTheThreeStepChainInFloat64) {
  const LayerCase& c = GetParam();
  const Layer layer = make_layer(c.rows, c.cols);
  const auto [want, want_mask] = plain_sparsegpt(layer, c.options);
  Tensor weight = layer.weight.to(at::kFloat);
  const PruneResult got = prune_columns_by_blocks_(weight, factor_of(layer), c.options,
                                                   EmulatedKernels{.lanes = c.lanes});

  const int64_t zeros =
      c.options.prunem == 0
          ? std::llround(c.options.sparsity * static_cast<double>(c.rows * c.cols))
          : c.rows * c.cols / c.options.prunem * c.options.prunen;
  EXPECT_EQ(got.zeros, zeros);
  EXPECT_EQ(got.mask.sum().item<int64_t>(), zeros);
  EXPECT_EQ(weight.masked_select(got.mask).ne(0).sum().item<int64_t>(), 0);
  // Scores of this seed differ by more than float32's rounding, so the masks agree everywhere.
  EXPECT_EQ(got.mask.ne(want_mask).sum().item<int64_t>(), 0) << "seed 5";
  const double scale = layer.weight.abs().max().item<double>();
  const double eps = static_cast<double>(std::numeric_limits<float>::epsilon());
  EXPECT_LT((weight.to(at::kDouble) - want).abs().max().item<double>(),
            eps * static_cast<double>(c.cols) * scale);
  const double error = reconstruction_error(layer, want);
  EXPECT_NEAR(reconstruction_error(layer, weight), error, 1e-4 * error);
  // The CPU twin has the same contract but rounds differently.
  Tensor on_cpu = layer.weight.to(at::kFloat);
  const PruneResult twin = prune_columns_(on_cpu, factor_of(layer), c.options);
  EXPECT_EQ(got.zeros, twin.zeros);
  EXPECT_EQ(got.mask.ne(twin.mask).sum().item<int64_t>(), 0);
  EXPECT_NEAR(got.loss, twin.loss, 1e-5 * twin.loss);
  // Each column adds its err² to the damped output error, and the loss is half of that error.
  EXPECT_NEAR(got.loss, 0.5 * error, 1e-4 * error);
}

TEST(PruneByBlocksZeros, StayAsInTheCpuTwin) {
  for (const SolverOptions& options :
       {SolverOptions{
            .sparsity = 0.0, .blocksize = 32, .quantization = {.wbits = 4, .group_size = 32}},
        SolverOptions{.sparsity = 0.3, .blocksize = 32},
        SolverOptions{.sparsity = 0.8, .blocksize = 32},
        SolverOptions{.prunen = 2, .prunem = 4, .blocksize = 32}}) {
    for (const int lanes : {8, 16}) {
      Layer layer = make_layer(24, 96);
      const Tensor zero = layer.weight.abs().lt(0.7);
      layer.weight.masked_fill_(zero, 0.0);
      Tensor weight = layer.weight.to(at::kFloat);
      const PruneResult got = prune_columns_by_blocks_(weight, factor_of(layer), options,
                                                       EmulatedKernels{.lanes = lanes});
      Tensor on_cpu = layer.weight.to(at::kFloat);
      const PruneResult twin = prune_columns_(on_cpu, factor_of(layer), options);
      EXPECT_TRUE(got.mask.equal(twin.mask)) << options.sparsity << ", " << lanes << " lanes";
      EXPECT_EQ(got.zeros, twin.zeros);
      EXPECT_TRUE(got.mask.masked_select(zero).all().item<bool>());
      EXPECT_NEAR(got.loss, twin.loss, 1e-4 * twin.loss);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PruneByBlocks,
    testing::Values(LayerCase{"one_weight", 1, 1, {.sparsity = 1.0}},
                    LayerCase{"dense", 8, 64, {.sparsity = 0.0}},
                    LayerCase{"all", 8, 64, {.sparsity = 1.0}},
                    LayerCase{"half", 48, 256, {.sparsity = 0.5}},
                    LayerCase{"sparse_ragged", 37, 300, {.sparsity = 0.75}, 16},
                    LayerCase{"small_blocks", 20, 100, {.sparsity = 0.6, .blocksize = 32}},
                    LayerCase{"one_column_blocks", 9, 20, {.sparsity = 0.6, .blocksize = 1}},
                    LayerCase{"block_of_panels", 20, 700, {.sparsity = 0.7, .blocksize = 300}, 16},
                    LayerCase{"n2_of_4", 33, 256, {.prunen = 2, .prunem = 4}},
                    LayerCase{"n4_of_8", 20, 200, {.prunen = 4, .prunem = 8}, 16},
                    LayerCase{"n1_of_4", 16, 132, {.prunen = 1, .prunem = 4, .blocksize = 64}},
                    LayerCase{
                        "n2_of_3", 16, 300, {.prunen = 2, .prunem = 3, .blocksize = 150}, 16}),
    kCaseName);

class QuantizeByBlocks : public testing::TestWithParam<LayerCase> {};

TEST_P(QuantizeByBlocks, AgreesWithTheCpuTwin) {
  const LayerCase& c = GetParam();
  const Layer layer = make_layer(c.rows, c.cols);
  hessian::HessianFactor factor = factor_of(layer);
  at::manual_seed(1);
  if (c.act_order) factor.permutation = at::randperm(c.cols, at::kLong);  // read by GroupGrids
  Tensor weight = layer.weight.to(at::kFloat);
  const PruneResult got =
      prune_columns_by_blocks_(weight, factor, c.options, EmulatedKernels{.lanes = c.lanes});
  Tensor on_cpu = layer.weight.to(at::kFloat);
  const PruneResult twin = prune_columns_(on_cpu, factor, c.options);
  EXPECT_EQ(got.zeros, twin.zeros);
  EXPECT_EQ(weight.masked_select(got.mask).count_nonzero().item<int64_t>(), 0);
  // A weight half-way between two numbers may go to either, which changes the rest of its row.
  const auto share = [](const Tensor& differs) {
    return differs.to(at::kDouble).mean().item<double>();
  };
  EXPECT_LT(share((weight - on_cpu).abs().gt(1e-5)), 0.02) << "seed 5";
  EXPECT_LT(share(got.scale.ne(twin.scale)), 0.02) << "seed 5";
  EXPECT_LT(share(got.zero.ne(twin.zero)), 0.02) << "seed 5";
  EXPECT_NEAR(got.loss, twin.loss, 5e-3 * twin.loss);
  EXPECT_NEAR(got.loss_rounding, twin.loss_rounding, 5e-3 * twin.loss_rounding);
  EXPECT_NEAR(got.loss, 0.5 * reconstruction_error(layer, weight), 1e-4 * got.loss);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, QuantizeByBlocks,
    testing::Values(
        LayerCase{"plain_optq", 48, 256, {.sparsity = 0.0, .quantization = {4, 128, true}}},
        LayerCase{
            "groups_within_blocks", 37, 256, {.sparsity = 0.7, .quantization = {4, 32, false}}, 16},
        LayerCase{"whole_rows", 20, 300, {.sparsity = 0.5, .quantization = {3, -1, false}}},
        LayerCase{"in_another_order",
                  37,
                  256,
                  {.sparsity = 0.0, .quantization = {4, 32, false}},
                  8,
                  true},
        LayerCase{"block_of_panels",
                  20,
                  768,
                  {.sparsity = 0.6, .blocksize = 384, .quantization = {4, 96, true}},
                  16},
        LayerCase{"n2_of_4", 33, 256, {.prunen = 2, .prunem = 4, .quantization = {8, 64, true}}}),
    kCaseName);

TEST(PruneByBlocksErrors, SaysWhenAGroupIsTooWide) {
  const Layer layer = make_layer(2, 256);
  Tensor weight = layer.weight.to(at::kFloat);
  const SolverOptions options{.prunen = 128, .prunem = 256, .blocksize = 256};
  EXPECT_THROW(prune_columns_by_blocks_(weight, factor_of(layer), options, EmulatedKernels{}),
               Error);
}

TEST(PruneByBlocksErrors, SaysWhenABlockHasTooManyWeights) {
  const int64_t rows = int64_t{1} << 22;
  Tensor weight = at::zeros({1, 1}).expand({rows, 1024});  // as large, but without its memory
  const std::string error = test::error_of(ErrorKind::kUsage, [&] {
    prune_columns_by_blocks_(weight, {}, {.sparsity = 0.5, .blocksize = 1024}, EmulatedKernels{});
  });
  EXPECT_EQ(error,
            "blocksize 1024 is too large for 4194304 rows on CUDA: a block may have 2^32 weights");
}

/// A device on which launches fail, or only the panels.
struct FailingKernels : EmulatedKernels {
  const char* choose_threshold(const ThresholdJob& job) const {
    return only_panels ? EmulatedKernels::choose_threshold(job) : "no kernel image";
  }
  const char* prune_panel(const PanelJob& /*job*/) const { return "out of resources"; }
  bool only_panels = false;
};

TEST(PruneByBlocksErrors, SaysWhichKernelsDidNotStart) {
  const Layer layer = make_layer(2, 64);
  const auto error_with = [&](bool only_panels) {
    FailingKernels kernels;
    kernels.only_panels = only_panels;
    Tensor weight = layer.weight.to(at::kFloat);
    return test::error_of(ErrorKind::kDevice, [&] {
      prune_columns_by_blocks_(weight, factor_of(layer), {.sparsity = 0.5}, kernels);
    });
  };
  EXPECT_EQ(error_with(false), "CUDA could not start the threshold kernels: no kernel image");
  EXPECT_EQ(error_with(true), "CUDA could not start the column loop: out of resources");
}

}  // namespace
}  // namespace prune::solver::detail
