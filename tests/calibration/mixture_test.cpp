#include <prune/calibration/calibration_set.h>

#include <cmath>

#include "texts.h"

namespace prune::calibration {
namespace {

using test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int64_t> shares(const std::vector<double>& weights, int64_t nsamples) {
  std::vector<TextFile> files;
  for (const double weight : weights) {
    files.push_back({.name = "t" + std::to_string(files.size()), .path = {}, .weight = weight});
  }
  return sample_shares(files, nsamples);
}

TEST(SampleShares, FollowTheWeightsByLargestRemainder) {
  EXPECT_THAT(shares({1}, 8), ElementsAre(8));
  EXPECT_THAT(shares({0.1}, 8), ElementsAre(8));
  EXPECT_THAT(shares({2, 1}, 128), ElementsAre(85, 43));
  EXPECT_THAT(shares({1, 1, 1}, 8), ElementsAre(3, 3, 2));
  EXPECT_THAT(shares({0.5, 0.3, 0.2}, 10), ElementsAre(5, 3, 2));
  EXPECT_THAT(shares({1e308, 1e308}, 3), ElementsAre(2, 1));
}

TEST(SampleShares, RefuseWeightsThatMeanNothing) {
  const auto refusal = [](const std::vector<double>& weights) {
    return error_of(ErrorKind::kUsage, [&] { shares(weights, 8); });
  };
  EXPECT_THAT(refusal({1, 0}), HasSubstr("the weight 0 of 't1' is not a positive number"));
  EXPECT_THAT(refusal({-2, 1}), HasSubstr("the weight -2 of 't0'"));
  EXPECT_THAT(refusal({1, std::nan("")}), HasSubstr("the weight nan of 't1'"));
  EXPECT_THAT(refusal({1, INFINITY}), HasSubstr("the weight inf of 't1'"));
  EXPECT_THAT(refusal({100, 1}), HasSubstr("'t1' with weight 1 gets none of the 8 calibration "
                                           "samples; raise --nsamples or its weight"));
}

class Mixture : public testing::Test {
 protected:
  TokenSet sample(const std::vector<TextFile>& files, int64_t nsamples) const {
    return sample_calibration(files, chat::TemplateChoice(), *tokenizer_,
                              {.nsamples = nsamples, .seqlen = 64, .seed = 3});
  }
  TokenSet alone(const TextFile& file, int64_t nsamples) const {
    return sample_calibration(load_text(file), *tokenizer_,
                              {.nsamples = nsamples, .seqlen = 64, .seed = 3});
  }

  const TextFile one_{
      .name = "one", .path = test::fixtures() / "books.calibration.txt", .weight = 3};
  const TextFile other_{.name = "other", .path = test::fixtures() / "books.test.txt"};
  const std::unique_ptr<tokenizer::Tokenizer> tokenizer_ =
      tokenizer::load_tokenizer(test::fixtures() / "opt-books-6m");
};

TEST_F(Mixture, OfOneTextIsThatText) { EXPECT_EQ(sample({one_}, 8).sha256, alone(one_, 8).sha256); }

TEST_F(Mixture, InterleavesWhatEachTextGivesAlone) {
  const TokenSet mixed = sample({one_, other_}, 8);
  const TokenSet a = alone(one_, 6);
  const TokenSet b = alone(other_, 2);
  // Furthest behind after k samples: 3 k / 4 of the first, k / 4 of the second.
  const std::vector<Tensor> want = {a.ids[0], a.ids[1], b.ids[0], a.ids[2],
                                    a.ids[3], a.ids[4], b.ids[1], a.ids[5]};
  ASSERT_EQ(mixed.samples(), 8);
  for (int64_t row = 0; row < 8; ++row) {
    EXPECT_TRUE(mixed.ids[row].equal(want[static_cast<size_t>(row)])) << row;
  }
  EXPECT_EQ(mixed.source, "one, other");
  ASSERT_EQ(mixed.texts.size(), 2U);
  EXPECT_EQ(mixed.texts[0].samples, 6);
  EXPECT_EQ(mixed.texts[1].samples, 2);
}

TEST_F(Mixture, EveryPrefixHasTheMixture) {
  const TextFile third{.name = "third", .path = test::fixtures() / "README.md", .weight = 1.5};
  const TokenSet mixed = sample({one_, other_, third}, 44);
  const TokenSet first = alone(one_, mixed.texts[0].samples);
  int64_t from_first = 0;
  for (int64_t k = 1; k <= 44; ++k) {
    const Tensor row = mixed.ids[k - 1];
    if (from_first < first.samples() && row.equal(first.ids[from_first])) ++from_first;
    EXPECT_NEAR(static_cast<double>(from_first), static_cast<double>(k * 24) / 44.0, 1.0) << k;
  }
  EXPECT_EQ(from_first, 24);
}

}  // namespace
}  // namespace prune::calibration
