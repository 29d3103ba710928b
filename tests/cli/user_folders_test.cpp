// Model folders as people have them. scripts/check_inputs.py opens the outputs of the same inputs with Transformers.
#include <prune/core/json_file.h>

#include <cmath>

#include "cli/edit_model.h"
#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using test::Tensors;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kEmbedding = "model.decoder.embed_tokens.weight";
const std::vector<std::string> kHalf = {"--target", "0.5", "--schedule", "uniform"};

class UserFolder : public testing::Test {
 protected:
  UserFolder() : model_(test::copy_model(folder_)) {}

  test::Outcome run(const std::vector<std::string>& more = kHalf) {
    fs::remove_all(out());
    return test::run_prune(test::small_run(model_.string(), out().string(), more));
  }
  test::Outcome run_strictly() {
    std::vector<std::string> more = kHalf;
    more.emplace_back("--strict");
    return run(more);
  }
  fs::path out() const { return folder_.path() / "out"; }

  test::TemporaryFolder folder_;
  fs::path model_;
};

TEST_F(UserFolder, AHeadThatDiffersFromTheEmbeddingIsKept) {
  test::edit_tensors(model_, [](Tensors& t) { t["lm_head.weight"] = t.at(kEmbedding) * 1.5; });
  const test::Outcome outcome = run();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("both are kept"));
  EXPECT_TRUE(test::tensors_of(out())
                  .at("lm_head.weight")
                  .equal(test::tensors_of(model_).at("lm_head.weight")));
  EXPECT_EQ(read_json(out() / "config.json").at("tie_word_embeddings"), false);
}

TEST_F(UserFolder, AHeadEqualToTheEmbeddingIsStoredOnce) {
  test::edit_tensors(model_, [](Tensors& t) { t["lm_head.weight"] = t.at(kEmbedding).clone(); });
  const test::Outcome outcome = run();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, Not(HasSubstr("both are kept")));
  EXPECT_FALSE(test::tensors_of(out()).contains("lm_head.weight"));
}

TEST_F(UserFolder, AnAdapterIsNotAppliedAndNotCopied) {
  folder_.write("model/adapter_config.json", R"({"peft_type": "LORA"})");
  folder_.write("model/adapter_model.safetensors",
                test::vectors_bytes(std::vector<std::string>{"a"}));
  const test::Outcome outcome = run();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("adapter in this folder is not applied and not copied"));
  EXPECT_FALSE(fs::exists(out() / "adapter_config.json"));
  EXPECT_FALSE(fs::exists(out() / "adapter_model.safetensors"));
  EXPECT_THAT(test::read_report(out()).at("fallbacks").dump(), HasSubstr("adapter"));
  EXPECT_EQ(run_strictly().code, exit_code(ErrorKind::kInput));
}

TEST_F(UserFolder, EveryTensorKeepsItsDtype) {
  test::edit_tensors(model_, [](Tensors& t) {
    for (auto& [name, tensor] : t) {
      if (name.find(".layers.2.") != std::string::npos) tensor = tensor.to(at::kFloat);
    }
  });
  const Tensors before = test::tensors_of(model_);
  for (const std::vector<std::string>& more :
       {kHalf, {"--pattern", "2:4"}, {"--target", "0", "--wbits", "4", "--format", "dense"}}) {
    const test::Outcome outcome = run(more);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    for (const auto& [name, tensor] : test::tensors_of(out())) {
      EXPECT_EQ(tensor.scalar_type(), before.at(name).scalar_type()) << name;
    }
  }
}

TEST_F(UserFolder, AnExcludeThatMatchesNothingIsSaid) {
  std::vector<std::string> more = kHalf;
  more.insert(more.end(), {"--exclude", "re:.*q_proj"});
  const test::Outcome outcome = run(more);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              HasSubstr("'re:.*q_proj' matches no layer, so nothing is excluded; leave out 're:'"));
  more.emplace_back("--strict");
  const test::Outcome strict = run(more);
  EXPECT_EQ(strict.code, exit_code(ErrorKind::kInput));
  EXPECT_THAT(strict.err, HasSubstr("refused by --strict"));
}

TEST_F(UserFolder, QuantizingPartOfWhatServersFuseIsSaid) {
  const test::Outcome outcome = run({"--target", "0", "--wbits", "4", "--exclude", "q_proj"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("self_attn.k_proj' is quantized but '"), HasSubstr("vLLM fuses")));
  EXPECT_THAT(run({"--target", "0", "--wbits", "4", "--exclude", "fc1"}).err,
              Not(HasSubstr("vLLM")));
}

TEST_F(UserFolder, ASparseModelStaysSparse) {
  ASSERT_EQ(run({"--pattern", "2:4"}).code, 0);
  const Tensors sparse = test::tensors_of(out());
  const fs::path source = folder_.path() / "sparse";
  fs::rename(out(), source);
  model_ = source;
  const auto lost = [&] {
    int64_t zeros_lost = 0;
    const Tensors after = test::tensors_of(out());
    for (const auto& [name, tensor] : sparse) {
      if (tensor.dim() != 2 || name.find("embed") != std::string::npos) continue;
      zeros_lost += tensor.eq(0).logical_and(after.at(name).ne(0)).sum().item<int64_t>();
    }
    return zeros_lost;
  };
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--target", "0", "--wbits", "4", "--format", "dense"},
        {"--target", "0.6"},
        {"--pattern", "2:4", "--wbits", "3", "--format", "dense"}}) {
    const test::Outcome outcome = run(more);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(lost(), 0) << more[1];
    const json layer = test::read_report(out()).at("layers").at(0);
    EXPECT_EQ(layer.at("zeros_before").get<int64_t>() * 2,
              layer.at("shape").at(0).get<int64_t>() * layer.at("shape").at(1).get<int64_t>());
  }
  const test::Outcome freed =
      run({"--target", "0", "--wbits", "4", "--format", "dense", "--free-zeros"});
  ASSERT_EQ(freed.code, 0) << freed.err;
  EXPECT_GT(lost(), 0);
  EXPECT_THAT(freed.err, HasSubstr("weights that were zero are not any more"));
}

TEST_F(UserFolder, ANanIsFoundBeforeWork) {
  for (const char* name :
       {"model.decoder.layers.5.fc2.weight", kEmbedding,
        "model.decoder.layers.5.final_layer_norm.bias", "model.decoder.final_layer_norm.weight"}) {
    fs::remove_all(model_);
    model_ = test::copy_model(folder_);
    test::edit_tensors(model_, [&](Tensors& t) { t.at(name).view({-1})[3] = std::nan(""); });
    const test::Outcome outcome = run();
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput));
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(name), HasSubstr("holds nan at [")));
    EXPECT_FALSE(fs::exists(out().string() + ".partial"));
    const test::Outcome inspected = test::run_prune({"inspect", "--model", model_.string()});
    EXPECT_EQ(inspected.code, exit_code(ErrorKind::kInput));
    EXPECT_THAT(inspected.err, HasSubstr(name));
  }
}

TEST_F(UserFolder, AStaleKeyIsDroppedAndPythonsNumbersStay) {
  std::string config = read_file(model_ / "config.json");
  config.resize(config.rfind('}'));
  config += R"(, "numbers": [NaN, -Infinity], "half": "\ud83d",
      "compression_config": {"sparsity_config": {"format": "dense"}}})";
  folder_.write("model/config.json", config);
  const test::Outcome outcome = run();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("compression_config describes no compressed weights"));
  EXPECT_THAT(read_file(out() / "config.json"),
              AllOf(HasSubstr("NaN"), HasSubstr("-Infinity"), Not(HasSubstr("compression"))));
}

TEST_F(UserFolder, UnknownTensorsPassThroughEveryCommand) {
  const Tensors unknown = {{"mtp.0.weight", at::arange(6, at::kFloat).view({2, 3})},
                           {"model.decoder.layers.0.self_attn.k_scale", at::ones({1}, at::kFloat)},
                           {"score.bias", at::arange(4, at::kLong)}};
  test::edit_tensors(model_, [&](Tensors& t) { t.insert(unknown.begin(), unknown.end()); });
  ASSERT_EQ(run().code, 0);
  const std::string packed = (folder_.path() / "packed").string();
  const fs::path unpacked = folder_.path() / "unpacked";
  ASSERT_EQ(test::run_prune({"pack", "--model", out().string(), "--output", packed}).code, 0);
  ASSERT_EQ(test::run_prune({"unpack", "--model", packed, "--output", unpacked.string()}).code, 0);
  for (const fs::path& folder : {out(), unpacked}) {
    const Tensors after = test::tensors_of(folder);
    for (const auto& [name, tensor] : unknown) EXPECT_TRUE(after.at(name).equal(tensor)) << name;
  }
  EXPECT_EQ(read_file(out() / "model.safetensors"), read_file(unpacked / "model.safetensors"));
}

TEST_F(UserFolder, FoldersThatAreNoModelsAreNamed) {
  const auto error = [&](const std::string& model) {
    const test::Outcome outcome = test::run_prune(test::small_run(model, out().string(), kHalf));
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput)) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    return outcome.err;
  };
  EXPECT_THAT(error((model_ / "model.safetensors").string()),
              HasSubstr("is a file; give its folder, " + model_.string()));
  folder_.write("adapter/adapter_config.json", R"({"base_model_name_or_path": "org/base"})");
  EXPECT_THAT(error((folder_.path() / "adapter").string()),
              HasSubstr("is an adapter of 'org/base'"));
  fs::remove(model_ / "model.safetensors");
  fs::create_symlink("../blobs/gone", model_ / "model.safetensors");
  EXPECT_THAT(error(model_.string()), HasSubstr("a link to '../blobs/gone', which does not exist"));
}

TEST_F(UserFolder, APatternThatDoesNotFitIsRefusedBeforeWork) {
  const test::Outcome outcome = run({"--pattern", "3:7", "--blocksize", "133"});
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kUsage));
  EXPECT_THAT(outcome.err,
              HasSubstr("7 does not divide the 256 columns of 'model.decoder.layers.0"));
  EXPECT_FALSE(fs::exists(out().string() + ".partial"));
}

}  // namespace
}  // namespace prune
