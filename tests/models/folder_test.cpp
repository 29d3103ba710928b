// Folders whose tensors or config.json say more, or less, than the model needs.
#include <prune/core/json_file.h>

#include <cmath>
#include <cstring>

#include "checkpoint/make_safetensors.h"
#include "golden_model.h"

namespace prune::models {
namespace {

using test::bytes_of;
using test::error_of;
using test::GoldenModel;
using testing::HasSubstr;

/// Appends float32 tensors to the safetensors file of a model.
void add_tensors(const GoldenModel& model,
                 const std::map<std::string, std::vector<float>>& tensors) {
  const auto path = model.path() / "model.safetensors";
  const std::string file = read_file(path);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  json header = json::parse(file.substr(8, length));
  std::string data = file.substr(8 + length);
  for (const auto& [name, values] : tensors) {
    const size_t begin = data.size();
    for (const float value : values) data += bytes_of(value);
    header[name] = {
        {"dtype", "F32"}, {"shape", {values.size()}}, {"data_offsets", {begin, data.size()}}};
  }
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << test::safetensors_bytes(header.dump(), data);
}

TEST(ModelFolder, BuffersArePassedOverAndKeepTheirNames) {
  const GoldenModel golden("llama");
  const std::string attention = "model.layers.0.self_attn.";
  add_tensors(golden, {{attention + "rotary_emb.cos_cached", {1.0F}},
                       {attention + "k_scale", {0.5F}},
                       {attention + "masked_bias", {-INFINITY}},
                       {"mtp.0.weight", {1.0F, 2.0F}}});
  const Model model = golden.open();
  EXPECT_TRUE(model.checkpoint().contains("mtp.0.weight"));
  EXPECT_TRUE(model.checkpoint().contains(attention + "k_scale"));
  EXPECT_FALSE(model.checkpoint().contains("model.mtp.0.weight"));
  model.check_values();  // what the model does not use may hold anything
  model.prefetch_block(0);
  model.drop_ends();
}

TEST(ModelFolder, AWeightThatTheFamilyDoesNotUseIsRefused) {
  const GoldenModel golden("llama");
  add_tensors(golden, {{"model.layers.1.self_attn.sinks", {1.0F, 2.0F}}});
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { golden.open(); }),
              HasSubstr("'model.layers.1.self_attn.sinks' does not belong to the model"));
}

TEST(ModelFolder, WithoutAHeadOnlyThePerplexityIsRefused) {
  const GoldenModel golden("opt", {{"tie_word_embeddings", false}});
  const Model model = golden.open();
  EXPECT_FALSE(model.has_head());
  EXPECT_NE(model.load_block(0), nullptr);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { model.load_head(); }), HasSubstr("has no head"));
}

TEST(ModelFolder, AStaleKeyOfDenseWeightsIsNamed) {
  const GoldenModel golden(
      "opt", {{"compression_config", {{"sparsity_config", {{"format", "dense"}}}}},
              {"quantization_config",
               {{"quant_method", "compressed-tensors"},
                {"format", "dense"},
                {"config_groups", json::object()},
                {"sparsity_config", {{"format", "dense"}, {"sparsity_structure", "2:4"}}}}}});
  EXPECT_THAT(golden.open().shape().stale_keys,
              testing::ElementsAre("quantization_config", "compression_config"));
  const GoldenModel packed("opt", {{"quantization_config",
                                    {{"quant_method", "compressed-tensors"},
                                     {"sparsity_config", {{"format", "sparse-24-bitmask"}}}}}});
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { packed.open(); }),
              HasSubstr("the checkpoint is quantized"));
}

TEST(ModelFolder, AFormatThatNoWeightHasIsStale) {
  const GoldenModel golden(
      "llama", {{"quantization_config", {{"quant_method", "fp8"}}},
                {"text_config", {{"quantization_config", {{"quant_method", "mxfp4"}}}}}});
  EXPECT_TRUE(read_model_shape(golden.path()).weight_format);
  const Model model = golden.open();
  EXPECT_FALSE(model.weight_format());
  EXPECT_THAT(model.shape().format_keys, testing::IsEmpty());
  EXPECT_THAT(model.shape().stale_keys,
              testing::ElementsAre("quantization_config", "text_config/quantization_config"));
}

TEST(ModelFolder, AnAdapterAloneIsNamedAsOne) {
  const test::TemporaryFolder folder;
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "org/base"})");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_model_shape(folder.path()); }),
              HasSubstr("is an adapter of 'org/base', not a model; merge it"));
}

}  // namespace
}  // namespace prune::models
