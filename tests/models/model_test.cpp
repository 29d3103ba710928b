// Damaged weight files, found when a model is opened or a block is loaded.
#include <cstring>

#include "golden_model.h"
#include "stacked_model.h"

namespace prune::models {
namespace {

using test::error_of;
using test::GoldenModel;
using testing::AllOf;
using testing::HasSubstr;

/// A safetensors file in memory, to be damaged.
struct Weights {
  explicit Weights(const std::filesystem::path& path) {
    const std::string bytes = read_file(path);
    uint64_t header_size = 0;
    std::memcpy(&header_size, bytes.data(), sizeof(header_size));
    header = json::parse(bytes.substr(8, header_size));
    data = bytes.substr(8 + header_size);
  }
  void save(const std::filesystem::path& path) const {
    const std::string text = header.dump();
    const uint64_t size = text.size();
    std::ofstream(path, std::ios::binary)
        << std::string(reinterpret_cast<const char*>(&size), sizeof(size)) << text << data;
  }
  /// Appends the tensor.
  void add(const std::string& name, const std::string& dtype, int64_t elements,
           const std::string& bytes) {
    header[name] = {{"dtype", dtype},
                    {"shape", {elements}},
                    {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  }
  void rename(const std::string& name, const std::string& to) {
    header[to] = header.at(name);
    header.erase(name);
  }
  json header;
  std::string data;
};

template <class Damage>
void damage(const GoldenModel& golden, Damage&& change) {
  const auto path = golden.path() / "model.safetensors";
  Weights weights(path);
  std::forward<Damage>(change)(weights);
  weights.save(path);
}

std::string refusal(const GoldenModel& golden) {
  return error_of(ErrorKind::kInput, [&] { golden.open(); });
}

TEST(ModelFaults, MissingTensorIsNamed) {
  const GoldenModel golden("llama");
  damage(golden, [](Weights& weights) {
    weights.rename("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_porj.weight");
  });
  EXPECT_THAT(refusal(golden), AllOf(HasSubstr("'model.layers.1.mlp.up_proj.weight' is missing"),
                                     HasSubstr(golden.path().string())));
}

TEST(ModelFaults, ShapesMustBeThoseOfTheConfiguration) {
  EXPECT_THAT(refusal(GoldenModel("bloom", {{"n_embed", 42}})),
              HasSubstr("'transformer.h.0.self_attention.query_key_value.weight' has shape "
                        "[108, 36], but config.json implies [126, 42]"));
  EXPECT_THAT(refusal(GoldenModel("opt", {{"vocab_size", 97}})),
              HasSubstr("'model.decoder.embed_tokens.weight' has shape [96, 32], but "
                        "config.json implies [97, 32]"));
}

TEST(ModelFaults, QuantizedDtypeIsRefused) {
  const GoldenModel golden("opt");
  damage(golden, [](Weights& weights) {
    // The replacement has as many bytes, so that the file itself stays valid and the shape is
    // checked.
    json& tensor = weights.header.at("model.decoder.layers.0.self_attn.q_proj.weight");
    tensor["dtype"] = "I16";
  });
  EXPECT_THAT(refusal(golden),
              HasSubstr("'model.decoder.layers.0.self_attn.q_proj.weight' is stored "
                        "as int16; weights must be float16, bfloat16"));
}

TEST(ModelFaults, TensorThatTheFamilyDoesNotKnow) {
  const std::string bias = "model.layers.0.self_attn.q_proj.bias";
  const GoldenModel zero("llama");
  damage(zero, [&](Weights& weights) { weights.add(bias, "BF16", 2, std::string(4, '\0')); });
  EXPECT_NO_THROW(zero.open());
  const GoldenModel other("llama");
  damage(other, [&](Weights& weights) { weights.add(bias, "BF16", 2, std::string(4, '\1')); });
  EXPECT_THAT(refusal(other), HasSubstr("'" + bias + "' does not belong to the model"));
  const GoldenModel outside("llama");
  damage(outside, [&](Weights& weights) { weights.add("mtp.x", "BF16", 2, std::string(4, '\1')); });
  EXPECT_NO_THROW(outside.open());
}

TEST(ModelFaults, NanIsFoundWhenItsBlockIsLoaded) {
  const GoldenModel golden("opt");
  damage(golden, [](Weights& weights) {
    const json& tensor = weights.header.at("model.decoder.layers.1.fc2.weight");
    const auto begin = tensor.at("data_offsets").at(0).get<size_t>();
    weights.data.replace(begin + 2 * (48 * 3 + 5), 2, "\xff\x7f");  // [3, 5]
  });
  const Model model = golden.open();
  EXPECT_NO_THROW(model.load_block(0));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { model.load_block(1); }),
              HasSubstr("'model.decoder.layers.1.fc2.weight' holds nan at [3, 5]"));
}

TEST(Model, DtypeIsFloat32OnTheCpuUnlessAskedFor) {
  const GoldenModel golden("qwen2");
  EXPECT_EQ(Model::open(golden.path(), {}).dtype(), at::kFloat);
  EXPECT_EQ(Model::open(golden.path(), {}).stored_dtype(), at::kBFloat16);
  EXPECT_EQ(golden.open(at::kHalf).dtype(), at::kHalf);
  EXPECT_EQ(golden.open(at::kHalf).load_block(0)->linears()[0].weight.scalar_type(), at::kHalf);
}

TEST(Model, LayersOfAStackAreThoseStoredApart) {
  const test::StackedModel models;
  const Model stacked = models.open();
  const Model plain = models.open_plain();
  stacked.check_values();
  for (int64_t block = 0; block < plain.config().blocks; ++block) {
    const auto from_stack = stacked.load_block(block);
    const auto apart = plain.load_block(block);
    for (size_t i = 0; i < apart->linears().size(); ++i) {
      const Linear& layer = apart->linears()[i];
      EXPECT_TRUE(at::equal(from_stack->linears()[i].weight, layer.weight)) << layer.name;
      EXPECT_TRUE(at::equal(from_stack->linears()[i].bias, layer.bias)) << layer.name;
      EXPECT_EQ(stacked.stored_dtype(layer.name), at::kFloat);
    }
  }
}

TEST(Model, PagesOfABlockComeAndGo) {
  const GoldenModel golden("qwen2");
  const Model model = golden.open();
  model.prefetch_block(0);
  const Tensor before = model.load_block(1)->linears()[0].weight.clone();
  model.drop_block(1);
  EXPECT_TRUE(at::equal(model.load_block(1)->linears()[0].weight, before));
  EXPECT_NO_THROW(model.prefetch_block(2)) << "a block beyond the last is ignored";
}

}  // namespace
}  // namespace prune::models
