#include <prune/core/error.h>
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
  EXPECT_THAT(counter.tokens, testing::ElementsAre(testing::Pair(0, 6400), testing::Pair(1, 6400),
                                                   testing::Pair(2, 6400), testing::Pair(3, 6400)));
}

/// Records the sites shown, batch by batch.
struct SeenInputs : models::BlockObserver {
  void on_site(int64_t site, const Tensor& x) override { sites[site].push_back(x.clone()); }
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
  for (const int64_t site : {0, 2, 3}) {
    SeenInputs seen;
    SeenInputs whole;
    staged.reach(site, seen);
    embed().advance(*block, &whole);
    EXPECT_TRUE(at::equal(seen.of(site), whole.of(site))) << site;
    replace_readers_(*block, site);
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
