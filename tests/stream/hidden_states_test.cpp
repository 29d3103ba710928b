#include <prune/core/error.h>
#include <prune/models/block_sites.h>
#include <prune/stream/staged_forward.h>

#include "models/golden_model.h"

namespace prune::stream {
namespace {

using test::GoldenModel;

// 400 samples of 16 tokens make several batches; the last one is not full.
Tensor many_ids() { return test::golden_ids().repeat({200, 1}); }

class HiddenStatesIn : public testing::TestWithParam<StatesPlace> {};

TEST_P(HiddenStatesIn, BatchesMakeWhatOneForwardMakes) {
  const GoldenModel golden("llama");
  const models::Model model = golden.open();
  const auto embedding = model.load_embedding();
  const auto block = model.load_block(0);
  HiddenStates states = HiddenStates::embed(*embedding, many_ids(), testing::TempDir(), GetParam());
  EXPECT_EQ(states.samples(), 400);
  EXPECT_EQ(states.size_bytes(), 400 * 16 * 32 * 4);
  states.advance(*block);

  const Tensor want = block->forward(embedding->embed(test::golden_ids()));
  int64_t seen = 0;
  states.for_each_batch([&](int64_t first, const Tensor& batch) {
    EXPECT_EQ(first, seen);
    seen += batch.size(0);
    const Tensor wanted = want.repeat({batch.size(0) / 2, 1, 1});
    EXPECT_LE((batch - wanted).abs().max().item<double>(), 1e-4);
  });
  EXPECT_EQ(seen, 400);
}
INSTANTIATE_TEST_SUITE_P(Places, HiddenStatesIn,
                         testing::Values(StatesPlace::kDevice, StatesPlace::kHost,
                                         StatesPlace::kFile),
                         [](const auto& place) { return std::to_string(place.index); });

TEST(HiddenStates, AStreamLargerThanMemoryGoesIntoAFile) {
  EXPECT_EQ(choose_place(int64_t{1} << 50, at::kCPU), StatesPlace::kFile);
  EXPECT_EQ(choose_place(1 << 10, at::kCPU), StatesPlace::kDevice);
}

TEST(HiddenStates, AFileThatDoesNotFitIsAnOutputError) {
  const GoldenModel golden("llama");
  const models::Model model = golden.open();
  try {
    HiddenStates::embed(*model.load_embedding(), test::golden_ids(), "/proc/nowhere",
                        StatesPlace::kFile);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kOutput);
    EXPECT_THAT(error.what(), testing::HasSubstr("/proc/nowhere: cannot create a scratch file"));
  }
}

TEST(HiddenStates, ObservingLeavesTheStreamAsItIs) {
  struct Counter : models::BlockObserver {
    void on_site(int64_t site, const Tensor& x) override { tokens[site] += x.size(0) * x.size(1); }
    std::map<int64_t, int64_t> tokens;
  };
  const GoldenModel golden("opt");
  const models::Model model = golden.open();
  const HiddenStates states =
      HiddenStates::embed(*model.load_embedding(), many_ids(), testing::TempDir());
  const double before = states.energies().median().item<double>();
  Counter counter;
  states.observe(*model.load_block(0), counter);
  EXPECT_EQ(states.energies().median().item<double>(), before);
  EXPECT_THAT(counter.tokens, testing::ElementsAre(testing::Pair(models::kAttentionSite, 6400),
                                                   testing::Pair(models::kOutSite, 6400),
                                                   testing::Pair(models::kFfnSite, 6400),
                                                   testing::Pair(models::kDownSite, 6400)));
}

/// Records the sites shown, batch by batch.
struct SeenInputs : models::BlockObserver {
  void on_site(int64_t site, const Tensor& x) override { sites[site].push_back(x.clone()); }
  void on_expert_site(int64_t site, const models::ExpertRows& rows) override {
    sites[site].push_back(rows.x.clone());
  }
  Tensor of(int64_t site) const { return at::cat(sites.at(site)); }
  std::map<int64_t, std::vector<Tensor>> sites;
};

std::vector<Tensor> batches_of(const HiddenStates& states) {
  std::vector<Tensor> batches;
  states.for_each_batch([&](int64_t, const Tensor& batch) { batches.push_back(batch.clone()); });
  return batches;
}

void replace_readers_(models::Block& block, int64_t site) {
  for (models::Linear& layer : block.linears()) {
    if (layer.site == site) layer.weight = layer.weight * 0.5;
  }
}

/// Reaches the sites, checks that they are those of a whole forward of `fresh` states, and replaces their readers.
void reach_and_replace_(StagedForward& staged, models::Block& block,
                        const std::vector<int64_t>& sites, HiddenStates fresh) {
  SeenInputs seen;
  SeenInputs whole;
  staged.reach(sites, seen);
  fresh.advance(block, &whole);
  for (const int64_t site : sites) {
    EXPECT_TRUE(at::equal(seen.of(site), whole.of(site))) << site;
    replace_readers_(block, site);
  }
}

class StagedForwardOf : public testing::TestWithParam<std::tuple<std::string, int64_t>> {};

// Sites and the final stream equal, to the bit, those of full forwards through the block in its
// current state, whichever sites are kept. Site 1 is skipped.
TEST_P(StagedForwardOf, SeesTheReplacedLayersBeforeIt) {
  const auto& [family, narrower] = GetParam();
  const GoldenModel golden(family);
  const models::Model model = golden.open();
  const auto block = model.load_block(0);
  const auto embed = [&] {
    return HiddenStates::embed(*model.load_embedding(), many_ids(), testing::TempDir());
  };
  HiddenStates states = embed();
  models::DecoderSpec kept = model.shape();
  for (models::BlockSpec& kind : kept.kinds) {
    for (models::LinearSpec& layer : kind.linears) {
      layer.cols = std::max<int64_t>(1, layer.cols - narrower);
    }
  }
  StagedForward staged(states, kept);
  staged.begin(*block);
  for (const int64_t site : {models::kAttentionSite, models::kFfnSite, models::kDownSite}) {
    reach_and_replace_(staged, *block, {site}, embed());
  }
  staged.finish();
  HiddenStates want = embed();
  want.advance(*block);
  EXPECT_TRUE(at::equal(at::cat(batches_of(states)), at::cat(batches_of(want))));
}
INSTANTIATE_TEST_SUITE_P(Families, StagedForwardOf,
                         testing::Combine(testing::Values("opt", "opt_post_norm",
                                                          "bloom_post_residual", "llama"),
                                          // Keeps all sites, all but the widest, none.
                                          testing::Values(0, 1, 1000)),
                         [](const auto& tested) {
                           return std::get<0>(tested.param) +
                                  std::to_string(std::get<1>(tested.param));
                         });

class StagedExperts : public testing::TestWithParam<std::tuple<std::string, int64_t>> {};

// The same for experts, one or several at a time: the others do not change what they read.
TEST_P(StagedExperts, SeeTheReplacedLayersBeforeThem) {
  const auto& [family, at_once] = GetParam();
  const GoldenModel golden(family);
  const models::Model model = golden.open();
  const auto block = model.load_block(1);
  const auto embed = [&] {
    return HiddenStates::embed(*model.load_embedding(), many_ids(), testing::TempDir());
  };
  HiddenStates states = embed();
  StagedForward staged(states, model.shape(), ExpertTokens::kRouted);
  staged.begin(*block);
  const auto reach = [&](const std::vector<int64_t>& sites) {
    reach_and_replace_(staged, *block, sites, embed());
  };
  for (const int64_t site : block->sites()) reach({site});
  ASSERT_GT(block->experts(), at_once);
  for (int64_t first = 0; first < block->experts(); first += at_once) {
    std::vector<int64_t> sites[2];
    for (int64_t i = first; i < std::min(first + at_once, block->experts()); ++i) {
      sites[0].push_back(models::first_site_of(i));
      sites[1].push_back(models::last_site_of(i));
    }
    for (const std::vector<int64_t>& of_part : sites) reach(of_part);
  }
  staged.finish();
  HiddenStates want = embed();
  want.advance(*block);
  EXPECT_TRUE(at::equal(at::cat(batches_of(states)), at::cat(batches_of(want))));
}
INSTANTIATE_TEST_SUITE_P(Families, StagedExperts,
                         testing::Combine(testing::Values("deepseek_v3", "ernie4_5_moe", "gpt_oss",
                                                          "granitemoe", "qwen3_moe"),
                                          testing::Values(1, 3)),
                         [](const auto& tested) {
                           return std::get<0>(tested.param) +
                                  std::to_string(std::get<1>(tested.param));
                         });

/// Adds up what an expert site shows, each row as often as it counts.
struct SummedRows : models::BlockObserver {
  void on_site(int64_t, const Tensor&) override {}
  void on_expert_site(int64_t site, const models::ExpertRows& rows) override {
    const Tensor weight = rows.weight.defined() ? rows.weight : at::ones({rows.x.size(0)});
    Tensor& sum = sums[site];
    const Tensor more = (rows.x * weight.unsqueeze(1)).t().matmul(rows.x);
    sum = sum.defined() ? sum + more : more;
    rows_shown[site] += rows.x.size(0);
  }
  void on_load(models::ExpertLoad& load) override { tokens = load.tokens; }
  std::map<int64_t, Tensor> sums;
  std::map<int64_t, int64_t> rows_shown;
  Tensor tokens;
};

// Of 32 tokens some experts with 32 columns get few or none.
TEST(StarvedExperts, AlsoSeeOtherTokensInProportion) {
  const GoldenModel golden("qwen3_moe");
  const models::Model model = golden.open();
  const auto block = model.load_block(0);
  const auto sums_of = [&](ExpertTokens tokens) {
    HiddenStates states =
        HiddenStates::embed(*model.load_embedding(), test::golden_ids(), testing::TempDir());
    StagedForward staged(states, model.shape(), tokens);
    staged.begin(*block);
    SummedRows sums;
    for (int64_t i = 0; i < block->experts(); ++i) staged.reach({models::first_site_of(i)}, sums);
    return sums;
  };
  const SummedRows routed = sums_of(ExpertTokens::kRouted);
  const SummedRows shrunk = sums_of(ExpertTokens::kShrunk);
  const SummedRows all = sums_of(ExpertTokens::kAll);
  EXPECT_EQ(routed.tokens.sum().item<double>(), 64.0);
  int64_t idle = 0;
  for (int64_t i = 0; i < block->experts(); ++i) {
    const int64_t site = models::first_site_of(i);
    const double tokens = routed.tokens[i].item<double>();
    EXPECT_EQ(static_cast<double>(routed.rows_shown.at(site)), tokens);
    EXPECT_EQ(all.rows_shown.at(site), 32);
    idle += tokens == 0.0 ? 1 : 0;
    // All 32 tokens are shown, since there are as many columns.
    const Tensor want = routed.sums.at(site) + all.sums.at(site) * (32.0 / (32.0 + tokens)) *
                                                   (std::max(tokens, 1.0) / 32.0);
    EXPECT_TRUE(at::allclose(shrunk.sums.at(site), want, 1e-4, 1e-4)) << i;
  }
  EXPECT_GT(idle, 0) << "the golden model has an expert without tokens";
}

TEST(HiddenStates, MedianEnergyIsNotRuledByAFewTokens) {
  struct Fixed : models::Embedding {
    Tensor embed(const Tensor& ids, int64_t /*first*/) const override {
      return ids.to(at::kFloat).unsqueeze(-1).expand({ids.size(0), ids.size(1), 4});
    }
  };
  const Tensor ids = at::tensor({1, 2, 1000}, at::kLong).view({1, 3});
  EXPECT_EQ(
      HiddenStates::embed(Fixed(), ids, testing::TempDir()).energies().median().item<double>(),
      16.0);
}

}  // namespace
}  // namespace prune::stream
