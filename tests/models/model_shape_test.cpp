#include <prune/models/model.h>

#include "golden_model.h"

namespace prune::models {
namespace {

using test::GoldenModel;

class ShapeOfConfig : public testing::TestWithParam<std::string> {};

// Counted by hand from the tensors of the file.
TEST_P(ShapeOfConfig, HasTheElementsOfTheCheckpoint) {
  const GoldenModel golden(GetParam());
  const Model model = golden.open();
  int64_t elements = 0;
  int64_t of_first_block = 0;
  for (const std::string& name : model.checkpoint().names()) {
    const int64_t count = element_count(model.checkpoint().info(name).shape);
    elements += count;
    if (name.starts_with(model.block_prefix(0))) of_first_block += count;
  }
  const ModelShape shape = read_model_shape(golden.path());
  EXPECT_EQ(shape.parameters, elements);
  EXPECT_EQ(shape.block_elements(0), of_first_block);
  EXPECT_EQ(shape.linears(0).size(), model.linears(0).size());
}

INSTANTIATE_TEST_SUITE_P(Families, ShapeOfConfig,
                         testing::Values("opt", "opt_post_norm", "opt_galactica", "bloom", "llama",
                                         "qwen2", "qwen3"));

TEST(ShapeOfConfig, OfPublishedModelsNeedsNoWeights) {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "opt", "hidden_size": 9216, "ffn_dim": 36864,
    "num_hidden_layers": 64, "num_attention_heads": 72, "word_embed_proj_dim": 9216,
    "vocab_size": 50272, "max_position_embeddings": 2048, "torch_dtype": "float16"})");
  const ModelShape opt = read_model_shape(folder.path());
  // 12 h² + 13 h per block, 50272 + 2050 rows of the two tables, the final norm.
  EXPECT_EQ(opt.parameters, 64 * (12LL * 9216 * 9216 + 13 * 9216) + 52322LL * 9216 + 2 * 9216);
  EXPECT_EQ(opt.stored_dtype, at::kHalf);

  folder.write("config.json", R"({"model_type": "bloom", "n_embed": 14336, "n_layer": 70,
    "num_attention_heads": 112, "vocab_size": 250880})");
  const ModelShape bloom = read_model_shape(folder.path());
  EXPECT_EQ(bloom.parameters, 176247271424);  // as its model card says
  EXPECT_FALSE(bloom.stored_dtype.has_value());
}

/// What `prune plan` needs, for every family and variant.
TEST(ShapeOfConfig, OfEveryGoldenCaseCanBeListedAndShrunk) {
  for (const std::string& name : test::golden_cases()) {
    SCOPED_TRACE(name);
    const GoldenModel golden(name);
    std::filesystem::remove(golden.path() / "model.safetensors");
    const ModelShape shape = read_model_shape(golden.path());
    EXPECT_GT(shape.parameters, shape.block_elements(0));
    const auto half = shrink(shape, 2);
    if (half) {
      EXPECT_EQ(half->kind_of_block, shape.kind_of_block);
      EXPECT_EQ(2 * half->linears(0).front().cols, shape.linears(0).front().cols);
    }
  }
}

TEST(Wrappers, AreReadUnderBothNames) {
  const GoldenModel golden("gemma3");
  const Model written = golden.open();
  EXPECT_EQ(written.block_prefix(0), "language_model.model.layers.0.");
  const test::TemporaryFolder folder;
  std::filesystem::copy(golden.path() / "config.json", folder.path() / "config.json");
  std::string bytes = read_file(golden.path() / "model.safetensors");
  // Names of the same length, so that the header's length stays.
  for (size_t at = 0; (at = bytes.find("language_model.model.", at)) != std::string::npos;) {
    bytes.replace(at, 21, "model.language_model.");
  }
  folder.write("model.safetensors", bytes);
  const Model renamed = Model::open(folder.path(), {});
  EXPECT_EQ(renamed.block_prefix(0), "model.language_model.layers.0.");
  EXPECT_TRUE(at::equal(renamed.load_block(0)->linears()[0].weight,
                        written.load_block(0)->linears()[0].weight));
}

/// A case, and the other keys in which files say the same; null removes a key.
struct OtherKeys {
  std::string model;
  std::string changes;
};

void PrintTo(const OtherKeys& other, std::ostream* out) { *out << other.model; }

class Spellings : public testing::TestWithParam<OtherKeys> {};

TEST_P(Spellings, DescribeTheSameBlocks) {
  const GoldenModel plain(GetParam().model);
  const GoldenModel other(GetParam().model, json::parse(GetParam().changes));
  const ModelShape shape = read_model_shape(plain.path());
  const ModelShape other_shape = read_model_shape(other.path());
  EXPECT_EQ(shape.kinds, other_shape.kinds);
  EXPECT_EQ(shape.kind_of_block, other_shape.kind_of_block);
}

INSTANTIATE_TEST_SUITE_P(
    Hub, Spellings,
    testing::Values(
        OtherKeys{"gemma4_text", R"({"per_layer_config": null, "global_head_dim": 16})"},
        OtherKeys{"gemma4_text_moe", R"({"per_layer_config": null, "global_head_dim": 16,
                                         "num_global_key_value_heads": 1})"},
        OtherKeys{"step3p7", R"({"text_config": {
            "per_layer_config": null, "num_sliding_attention_heads": null, "num_key_value_heads": null,
            "num_attention_groups": 2, "attention_other_setting": {"num_attention_heads": 6},
            "mlp_layer_types": null, "moe_layers_enum": "1,2,3", "rope_parameters": null,
            "rope_theta": [1000.0, 100.0, 100.0, 1000.0, 100.0],
            "partial_rotary_factors": [0.5, 1.0, 1.0, 0.5, 1.0], "num_nextn_predict_layers": 1,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention",
                            "full_attention", "sliding_attention"]}})"}));

TEST(Shrink, DividesWidthsAndHeads) {
  const test::TemporaryFolder folder;
  folder.write("config.json",
               R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 192,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 100,
    "max_position_embeddings": 32})");
  const ModelShape whole = read_model_shape(folder.path());
  const auto half = shrink(whole, 2);
  ASSERT_TRUE(half.has_value());
  ASSERT_EQ(half->linears(0).size(), whole.linears(0).size());
  for (size_t i = 0; i < whole.linears(0).size(); ++i) {
    EXPECT_EQ(2 * half->linears(0)[i].rows, whole.linears(0)[i].rows) << whole.linears(0)[i].name;
    EXPECT_EQ(2 * half->linears(0)[i].cols, whole.linears(0)[i].cols) << whole.linears(0)[i].name;
  }
  EXPECT_FALSE(shrink(whole, 8).has_value()) << "4 key heads cannot be divided by 8";
}

// `prune plan` runs blocks of random weights: they are those of the stored dtype, and the same at every load.
TEST(RandomWeights, MakeABlockThatRuns) {
  const test::TemporaryFolder folder;
  folder.write("config.json",
               R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 192,
    "num_hidden_layers": 1, "num_attention_heads": 8, "vocab_size": 100})");
  const ModelShape shape = read_model_shape(folder.path());
  const WeightLoader loader = WeightLoader::random(at::kHalf, at::kCPU, at::kFloat);
  const auto block = [&] { return make_block(shape, loader, 0); };
  const Tensor weight = block()->linears().front().weight;
  EXPECT_TRUE(at::equal(weight, block()->linears().front().weight));
  EXPECT_TRUE(at::equal(weight, weight.to(at::kHalf).to(at::kFloat)));
  const Tensor out = block()->forward(at::randn({1, 4, 64}));
  EXPECT_TRUE(at::isfinite(out).all().item<bool>());
}

TEST(ShapeOfConfig, MoreParametersThanAnyModelHasAreRefused) {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "opt", "hidden_size": 4194304, "ffn_dim": 16777216,
    "num_hidden_layers": 10000, "num_attention_heads": 64, "word_embed_proj_dim": 4194304,
    "vocab_size": 50272, "max_position_embeddings": 2048, "torch_dtype": "float16"})");
  EXPECT_THAT(test::error_of(ErrorKind::kInput, [&] { read_model_shape(folder.path()); }),
              testing::HasSubstr("2.1e+18 parameters are more than any model has"));
}

}  // namespace
}  // namespace prune::models
