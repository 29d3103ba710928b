// Removing units is the same as making what they add to the stream zero.
#include <gtest/gtest.h>
#include <prune/core/error.h>

#include "golden_model.h"
#include "logits.h"

namespace prune {
namespace {

using models::BlockSpec;
using models::LinearSpec;
using models::Role;

using Numbers = std::vector<int64_t>;

Numbers all_but(int64_t count, const Numbers& removed) {
  Numbers kept;
  for (int64_t i = 0; i < count; ++i) {
    if (std::ranges::find(removed, i) == removed.end()) kept.push_back(i);
  }
  return kept;
}

/// Zeroes the columns of units in every layer that `columns_of_unit` has a size for.
template <class Size>
Tensor logits_without(const models::Model& model, const Numbers& removed, Size columns_of_unit) {
  Tensor hidden = model.load_embedding()->embed(test::golden_ids());
  for (int64_t number = 0; number < model.config().blocks; ++number) {
    const auto block = model.load_block(number);
    const BlockSpec& spec = model.shape().block(number);
    for (size_t i = 0; i < spec.linears.size(); ++i) {
      const int64_t size = columns_of_unit(spec, spec.linears[i]);
      if (size == 0) continue;
      for (const int64_t unit : removed) {
        block->linears()[i].weight.narrow(1, unit * size, size).zero_();
      }
    }
    hidden = block->forward(hidden);
  }
  return model.load_head()->logits(hidden);
}

class KeptUnits : public testing::TestWithParam<std::string> {
 protected:
  models::Model smaller(const models::KeptUnits& kept) const {
    return models::Model::open(golden_.path(), {.dtype = at::kFloat, .kept = kept});
  }
  static void expect_close(const Tensor& got, const Tensor& expected) {
    const Tensor difference = (got - expected).abs().max();
    EXPECT_LT(difference.item<double>(), 2e-4 * expected.abs().max().item<double>());
  }

  test::GoldenModel golden_{GetParam()};
};

TEST_P(KeptUnits, ChannelsThatAreGoneAreZero) {
  const models::Model whole = golden_.open();
  const Numbers removed = {1, 4, 5};
  try {
    const int64_t channels = models::channels_of(whole.shape());
    const Numbers kept = all_but(channels, removed);
    models::with_channels(whole.shape(), std::ssize(kept));
    std::vector<Numbers> by_block;
    for (int64_t block = 0; block < whole.config().blocks; ++block) {
      by_block.push_back(whole.shape().block(block).ffn.width > 0 ? kept : Numbers());
    }
    expect_close(test::logits_of(smaller({.channels = by_block}), test::golden_ids()),
                 logits_without(whole, removed, [](const BlockSpec&, const LinearSpec& layer) {
                   return layer.role == Role::kDown ? 1 : 0;
                 }));
  } catch (const Error& refusal) {
    ASSERT_EQ(refusal.kind(), ErrorKind::kUsage) << refusal.what();
    GTEST_SKIP() << refusal.what();
  }
}

TEST_P(KeptUnits, HeadsThatAreGoneAreZero) {
  const models::Model whole = golden_.open();
  for (const BlockSpec& kind : whole.shape().kinds) {
    if (kind.attention.qk_norm == models::QkNorm::kFull) {
      GTEST_SKIP() << "a norm over all heads changes with their number";
    }
  }
  try {
    const int64_t heads = models::key_heads_of(whole.shape());
    if (heads < 2) GTEST_SKIP() << "has one key head";
    const Numbers kept = all_but(heads, {0});
    models::with_key_heads(whole.shape(), std::ssize(kept));
    std::vector<Numbers> by_block;
    for (int64_t block = 0; block < whole.config().blocks; ++block) {
      by_block.push_back(whole.shape().block(block).has_attention() ? kept : Numbers());
    }
    expect_close(test::logits_of(smaller({.key_heads = by_block}), test::golden_ids()),
                 logits_without(whole, {0}, [&](const BlockSpec& block, const LinearSpec& layer) {
                   const bool reads = layer.role == Role::kOut && block.has_attention();
                   return reads ? layer.cols / heads : 0;
                 }));
  } catch (const Error& refusal) {
    ASSERT_EQ(refusal.kind(), ErrorKind::kUsage) << refusal.what();
    GTEST_SKIP() << refusal.what();
  }
}

TEST_P(KeptUnits, BlocksThatAreGoneDoNotRun) {
  const models::Model whole = golden_.open();
  const Numbers kept = all_but(whole.config().blocks, {0});
  if (kept.empty()) GTEST_SKIP() << "has one block";
  try {
    models::with_blocks(whole.shape(), kept);
  } catch (const Error& refusal) {
    ASSERT_EQ(refusal.kind(), ErrorKind::kUsage) << refusal.what();
    GTEST_SKIP() << refusal.what();
  }
  Tensor hidden = whole.load_embedding()->embed(test::golden_ids());
  for (const int64_t block : kept) hidden = whole.load_block(block)->forward(hidden);
  expect_close(test::logits_of(smaller({.blocks = kept}), test::golden_ids()),
               whole.load_head()->logits(hidden));
}

INSTANTIATE_TEST_SUITE_P(Cases, KeptUnits, testing::ValuesIn(test::golden_cases()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace prune
