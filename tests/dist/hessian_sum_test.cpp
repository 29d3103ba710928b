#include <ATen/CPUGeneratorImpl.h>
#include <prune/dist/hessian_sum.h>

#include <limits>

#include "dist/ranks.h"

namespace prune::dist {
namespace {

using test::run_ranks;
using testing::Each;
using testing::IsEmpty;

constexpr int64_t kCols = 300;  // more than one panel
constexpr int64_t kSamples = 21;

Tensor activations() {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  return at::empty({kSamples, 7, kCols}, at::kFloat).normal_(0.0, 1.0, generator);
}

Tensor plain_hessian(const Tensor& x) {
  const Tensor rows = x.flatten(0, 1).to(at::kDouble);
  return at::matmul(rows.t(), rows) * (2.0 / kSamples);
}

struct SumResult {
  Tensor hessian;                   // finish() of the owner
  std::vector<std::string> errors;  // by rank
  std::vector<int64_t> sent;        // bytes of Hessians, by rank
};

// Each of `size` ranks adds its share of x, one sample at a time.
SumResult sum_over(int64_t size, bool deterministic, int64_t owner, const Tensor& x) {
  SumResult result;
  result.sent.resize(static_cast<size_t>(size));
  result.errors = run_ranks(size, [&](Communicator& comm) {
    const SampleSplit split(kSamples, size, deterministic);
    HessianSum sum(kCols, at::kCPU, split, comm);
    const Range mine = split.samples_of(comm.rank());
    for (int64_t i = mine.begin; i < mine.end; ++i)
      sum.add(hessian::all_rows(x.slice(0, i, i + 1)));
    sum.reduce_(owner);
    result.sent[static_cast<size_t>(comm.rank())] =
        comm.counters().sent_bytes[static_cast<size_t>(Traffic::kHessians)];
    if (comm.rank() == owner) result.hessian = sum.finish();
  });
  return result;
}

TEST(HessianSum, SumsAllSamplesOnTheOwner) {
  const Tensor x = activations();
  const Tensor want = plain_hessian(x);
  for (const int64_t size : {1, 2, 3, 5}) {
    for (int64_t owner = 0; owner < size; ++owner) {
      const SumResult result = sum_over(size, false, owner, x);
      ASSERT_THAT(result.errors, Each(IsEmpty()));
      // 147 rows, each product and sum rounded to float32.
      EXPECT_LT((result.hessian.to(at::kDouble) - want).abs().max().item<double>(),
                147 * 1.2e-7 * want.abs().max().item<double>());
      // Panels of the lower triangle: 256 rows of 256 columns, 44 rows of 300.
      for (int64_t rank = 0; rank < size; ++rank) {
        EXPECT_EQ(result.sent[static_cast<size_t>(rank)],
                  rank == owner ? 0 : 4 * (256 * 256 + 44 * 300));
      }
    }
  }
}

TEST(HessianSum, DeterministicSumsAreEqualBitForBit) {
  const Tensor x = activations();
  const Tensor want = sum_over(1, true, 0, x).hessian;
  EXPECT_TRUE(want.to(at::kDouble).allclose(plain_hessian(x), 1e-4, 1e-5));
  for (const int64_t size : {2, 3, 4, 7}) {
    for (const int64_t owner : {int64_t{0}, size - 1}) {
      const SumResult result = sum_over(size, true, owner, x);
      ASSERT_THAT(result.errors, Each(IsEmpty()));
      EXPECT_TRUE(result.hessian.equal(want)) << size << " ranks, owner " << owner;
    }
  }
  EXPECT_FALSE(sum_over(1, false, 0, x).hessian.equal(want))
      << "the two splits do not differ, so this test shows nothing";
}

TEST(HessianSum, EveryRankNamesTheSampleThatIsNotFinite) {
  Tensor x = activations();
  x[17][3][2] = std::numeric_limits<float>::quiet_NaN();
  const SumResult result = sum_over(3, false, 1, x);
  EXPECT_THAT(result.errors, Each(testing::HasSubstr("calibration sample 17")));
}

}  // namespace
}  // namespace prune::dist
