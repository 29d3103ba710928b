// Logits of tiny random models against Transformers' (scripts/golden/models.py).
#include <prune/kernels/product.h>

#include <cmath>

#include "golden_model.h"
#include "logits.h"

namespace prune::models {
namespace {

using test::GoldenModel;
using test::logits_of;

Tensor expected_logits(const std::string& name, const std::string& dtype) {
  const auto& facts = test::golden_facts().at("cases").at(name);
  const auto file =
      checkpoint::open_safetensors(test::golden_models() / facts.at("logits").get<std::string>());
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    if (file->tensors()[i].name == dtype) return file->load(i).to(at::kDouble);
  }
  ADD_FAILURE() << "no " << dtype << " logits of " << name;
  return {};
}

class GoldenLogits : public testing::TestWithParam<std::string> {};

TEST_P(GoldenLogits, Float32) {
  const GoldenModel golden(GetParam());
  const Tensor got = logits_of(golden.open(), test::golden_ids()).to(at::kDouble);
  const Tensor want = expected_logits(GetParam(), "float32");
  ASSERT_EQ(got.sizes(), want.sizes());
  const double worst = (got - want).abs().max().item<double>();
  RecordProperty("worst", fmt::format("{:.3g}", worst));
  EXPECT_LE(worst, 1e-4);
}

// Five tokens, and then one after the other from the keys and values of those before.
TEST_P(GoldenLogits, OfTokensThatFollowOthers) {
  if (GetParam() == "llama_rope_dynamic" || GetParam() == "phi3_long") {
    GTEST_SKIP() << "the frequencies follow from the number of tokens; cached keys have the older "
                    "ones, as in Transformers";
  }
  const GoldenModel golden(GetParam());
  const Model model = golden.open();
  const Tensor ids = test::golden_ids();
  const auto embedding = model.load_embedding();
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<BlockCache> caches(static_cast<size_t>(model.config().blocks));
  for (int64_t i = 0; i < model.config().blocks; ++i) blocks.push_back(model.load_block(i));
  const auto head = model.load_head();
  std::vector<Tensor> parts;
  for (int64_t first = 0, end = 5; first < ids.size(1); first = end++) {
    Tensor hidden = embedding->embed(ids.slice(1, first, end), first);
    for (size_t i = 0; i < blocks.size(); ++i) hidden = blocks[i]->extend(hidden, caches[i]);
    parts.push_back(head->logits(hidden));
    EXPECT_EQ(caches.front().length(), end);
  }
  const Tensor want = expected_logits(GetParam(), "float32");
  EXPECT_LE((at::cat(parts, 1).to(at::kDouble) - want).abs().max().item<double>(), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenLogits, testing::ValuesIn(test::golden_cases()),
                         [](const auto& test) { return test.param; });

using CaseAndDtype = std::pair<std::string, std::string>;

class GoldenHalves : public testing::TestWithParam<CaseAndDtype> {};

std::vector<CaseAndDtype> golden_halves() {
  std::vector<CaseAndDtype> halves;
  for (const auto& [name, facts] : test::golden_facts().at("cases").items()) {
    for (const json& dtype : facts.at("dtypes")) {
      if (dtype != "float32") halves.emplace_back(name, dtype.get<std::string>());
    }
  }
  return halves;
}

void agree_as_far_as_their_rounding_lets(const CaseAndDtype& tried, at::Device device) {
  const auto& [name, dtype_word] = tried;
  const at::ScalarType dtype = dtype_word == "float16" ? at::kHalf : at::kBFloat16;
  const GoldenModel golden(name);
  const Model model = golden.open(dtype, device);
  const Tensor logits = logits_of(model, test::golden_ids());
  EXPECT_EQ(logits.scalar_type(), dtype);
  const Tensor got = logits.cpu().to(at::kDouble);
  const Tensor want = expected_logits(name, dtype_word);
  ASSERT_EQ(got.sizes(), want.sizes());

  // About 20 operations of a block round their result, each by at most half an ulp. As independent
  // errors of relative size u they make sqrt(20 · blocks) · u on the logits. Our roundings and
  // Transformers' may be independent of each other (sqrt 2), and the softmax of steep random scores
  // amplifies earlier errors (2).
  const double u = dtype == at::kHalf ? std::exp2(-11.0) : std::exp2(-8.0);
  const double tolerance =
      2.0 * std::sqrt(2.0 * 20.0 * static_cast<double>(model.config().blocks)) * u;
  // A token whose experts change with the rounding is far off.
  const Tensor by_token = (got - want).norm(2, {-1}) / want.norm(2, {-1});
  const double difference = model.shape().has_experts()
                                ? by_token.median().item<double>()
                                : ((got - want).norm() / want.norm()).item<double>();
  testing::Test::RecordProperty("worst",
                                fmt::format("{:.3g}", (got - want).abs().max().item<double>()));
  EXPECT_LE(difference, tolerance);
}

TEST_P(GoldenHalves, AgreeAsFarAsTheirRoundingLets) {
  agree_as_far_as_their_rounding_lets(GetParam(), at::kCPU);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenHalves, testing::ValuesIn(golden_halves()),
                         [](const auto& test) {
                           return test.param.first + "_" + test.param.second;
                         });

// CUDA's kernels, attention's included, add in another sequence.
class GoldenOnCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }
};

TEST_F(GoldenOnCuda, Float32) {
  for (const std::string& name : test::golden_cases()) {
    const GoldenModel golden(name);
    const Tensor got = logits_of(golden.open(at::kFloat, at::kCUDA), test::golden_ids());
    EXPECT_TRUE(got.is_cuda());
    const Tensor want = expected_logits(name, "float32");
    EXPECT_LE((got.cpu().to(at::kDouble) - want).abs().max().item<double>(), 1e-4) << name;
  }
}

TEST_F(GoldenOnCuda, Halves) {
  for (const CaseAndDtype& tried : golden_halves()) {
    SCOPED_TRACE(tried.first + " in " + tried.second);
    agree_as_far_as_their_rounding_lets(tried, at::kCUDA);
  }
}

// Scores of a long text are computed for a few heads at a time, here 4 of the 6, then 2. The first
// tokens do not see the later ones, so their logits equal those of the short text.
TEST(GoldenLongText, BloomTakesItsHeadsInGroups) {
  const GoldenModel golden("bloom");
  const Tensor ids = test::golden_ids();
  const Tensor text = ids.slice(0, 0, 1).repeat({1, 128});  // 2048 tokens
  const Tensor got = logits_of(golden.open(), text).slice(1, 0, ids.size(1)).to(at::kDouble);
  const Tensor want = expected_logits("bloom", "float32").slice(0, 0, 1);
  EXPECT_LE((got - want).abs().max().item<double>(), 1e-4);
}

/// Checks that the observer sees the sites and layers of the family's table.
class TableObserver : public BlockObserver {
 public:
  void on_site(int64_t site, const Tensor& x) override {
    EXPECT_TRUE(sites.emplace(site, x).second) << "site " << site << " was shown twice";
  }
  void on_output(const Linear& layer, const Tensor& y) override {
    outputs.push_back(layer.name);
    ASSERT_TRUE(sites.count(layer.site)) << layer.name << " ran before its site was shown";
    EXPECT_TRUE(at::equal(y, kernels::affine(sites[layer.site], layer.weight, layer.bias)))
        << layer.name;
  }
  std::map<int64_t, Tensor> sites;
  std::vector<std::string> outputs;
};

class GoldenBlocks : public testing::TestWithParam<std::string> {};

TEST_P(GoldenBlocks, ObserverSeesEveryLayerOfTheTable) {
  const GoldenModel golden(GetParam());
  const Model model = golden.open();
  const Tensor hidden = model.load_embedding()->embed(test::golden_ids());
  for (int64_t number = 0; number < model.config().blocks; ++number) {
    const auto block = model.load_block(number);
    TableObserver observer;
    const Tensor watched = block->forward(hidden, &observer);
    EXPECT_TRUE(at::equal(watched, block->forward(hidden)));

    std::vector<std::string> names;
    std::set<int64_t> sites;
    ASSERT_EQ(block->linears().size(), model.linears(0).size());
    for (size_t i = 0; i < model.linears(0).size(); ++i) {
      const LinearSpec& spec = model.linears(0)[i];
      const Linear& layer = block->linears()[i];
      EXPECT_EQ(layer.name, model.block_prefix(number) + spec.name);
      EXPECT_EQ(layer.weight.sizes(), at::IntArrayRef({spec.rows, spec.cols}));
      EXPECT_EQ(layer.bias.defined(), spec.bias);
      EXPECT_EQ(layer.site, spec.site);
      EXPECT_EQ(layer.writes_stream, spec.writes_stream);
      names.push_back(layer.name);
      sites.insert(spec.site);
    }
    EXPECT_THAT(observer.outputs, testing::UnorderedElementsAreArray(names));
    EXPECT_EQ(observer.sites.size(), sites.size());
  }
}

TEST_P(GoldenBlocks, ReplacedWeightChangesTheStreamItWrites) {
  const GoldenModel golden(GetParam());
  const Model model = golden.open();
  const Tensor hidden = model.load_embedding()->embed(test::golden_ids());
  const auto block = model.load_block(0);
  const Tensor before = block->forward(hidden);
  for (Linear& layer : block->linears()) {
    const Tensor weight = layer.weight;
    layer.weight = at::zeros_like(weight);
    EXPECT_FALSE(at::allclose(block->forward(hidden), before)) << layer.name;
    layer.weight = weight;
  }
  EXPECT_TRUE(at::equal(block->forward(hidden), before));
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenBlocks,
                         testing::Values("opt", "opt_post_norm", "opt_galactica", "bloom",
                                         "bloom_post_residual", "llama", "llama_biases",
                                         "mistral_window", "qwen2", "qwen3"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace prune::models
