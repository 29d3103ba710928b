#include <prune/checkpoint/checkpoint.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::bytes;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

using Arguments = std::vector<std::string>;

class Quantize : public testing::Test {
 protected:
  fs::path output(const std::string& name) const { return folder_.path() / name; }

  test::Outcome try_run(const Arguments& more, const std::string& name = "out") const {
    Arguments arguments = more;
    for (const auto& [flag, value] :
         std::map<std::string, std::string>{{"--model", model_},
                                            {"--calibration", text_},
                                            {"--nsamples", "4"},
                                            {"--seqlen", "32"},
                                            {"--schedule", "uniform"},
                                            {"--group-size", "-1"},
                                            {"--threads", "1"},
                                            {"--output", output(name).string()}}) {
      if (std::ranges::find(more, flag) == more.end()) {
        arguments.insert(arguments.end(), {flag, value});
      }
    }
    arguments.emplace_back("--quiet");
    return test::run_prune(arguments);
  }

  json run(const Arguments& more, const std::string& name = "out") const {
    const test::Outcome outcome = try_run(more, name);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? test::read_report(output(name)) : json();
  }

  json ask(const std::string& command, const Arguments& more) const {
    Arguments arguments = {command, "--json", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const test::Outcome outcome = test::run_prune(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? json::parse(outcome.out) : json();
  }

  double perplexity(const std::string& name) const {
    return ask("eval", {"--model", output(name).string(), "--data", text_, "--seqlen", "32",
                        "--segments", "8"})
        .at("perplexity")
        .get<double>();
  }

  test::TemporaryFolder folder_;
  std::string model_ = test::tiny_model(folder_).string();
  std::string text_ = folder_.write("text.txt", test::tiny_text()).string();
};

TEST_F(Quantize, PackedAndDenseHoldTheSameModel) {
  for (const auto& [wbits, symmetry] : std::map<std::string, std::string>{
           {"2", "--sym"}, {"3", "--asym"}, {"4", "--sym"}, {"8", "--asym"}}) {
    SCOPED_TRACE(symmetry + " " + wbits);
    const Arguments how = {"--target", "0.5", "--wbits", wbits, symmetry, "--overwrite"};
    const json packed = run(how);
    Arguments as_dense = how;
    as_dense.insert(as_dense.end(), {"--format", "dense"});
    const json dense = run(as_dense, "dense");
    EXPECT_EQ(perplexity("out"), perplexity("dense"));
    EXPECT_EQ(packed.at("zeros"), dense.at("zeros"));

    const json inspection = ask("inspect", {"--model", output("out").string()});
    EXPECT_EQ(inspection.at("zeros"), packed.at("zeros"));
    EXPECT_EQ(inspection.at("layers")[0].at("dtype"), "int" + wbits);
    EXPECT_EQ(inspection.at("dtype"), "float16");
    EXPECT_EQ(bytes(output("dense") / "config.json"), bytes(fs::path(model_) / "config.json"));
  }
}

// Pruned weights stay zero for any zero point; rounding may add zeros.
TEST_F(Quantize, PrunedWeightsAreExactlyZero) {
  const json report = run({"--target", "0.7", "--wbits", "3", "--asym", "--format", "dense"});
  const auto written = checkpoint::Checkpoint::open(output("out"));
  int64_t pruned = 0;
  for (const json& layer : report.at("layers")) {
    const Tensor weight = written.load(layer.at("name").get<std::string>() + ".weight");
    const int64_t zeros = weight.numel() - weight.count_nonzero().item<int64_t>();
    EXPECT_DOUBLE_EQ(layer.at("sparsity_reached").get<double>(),
                     static_cast<double>(zeros) / static_cast<double>(weight.numel()));
    pruned += zeros - layer.at("rounded_to_zero").get<int64_t>();
    const double loss = layer.at("loss_measured").get<double>();
    EXPECT_NEAR(layer.at("loss_pruning").get<double>() + layer.at("loss_rounding").get<double>(),
                loss, 1e-9 * loss);
    EXPECT_GT(layer.at("loss_rounding").get<double>(), 0.0);
  }
  EXPECT_EQ(pruned, std::llround(0.7 * report.at("weights").get<double>()));
}

TEST_F(Quantize, PatternsHoldInTheQuantizedWeights) {
  const json report = run({"--pattern", "2:4", "--wbits", "4", "--format", "dense"});
  const auto written = checkpoint::Checkpoint::open(output("out"));
  for (const json& layer : report.at("layers")) {
    const Tensor weight = written.load(layer.at("name").get<std::string>() + ".weight");
    EXPECT_TRUE(weight.eq(0).view({-1, 4}).sum(1).ge(2).all().item<bool>());
  }
}

TEST_F(Quantize, ConfigNamesWhatIsNotQuantized) {
  run({"--target", "0", "--wbits", "4", "--exclude", R"(layers\.0\.fc)"});
  const json config = json::parse(bytes(output("out") / "config.json"));
  const json quantization = config.at("quantization_config");
  EXPECT_EQ(quantization.at("ignore"),
            json({"lm_head", "model.decoder.layers.0.fc1", "model.decoder.layers.0.fc2"}));
  EXPECT_EQ(quantization.at("config_groups").at("group_0").at("weights").at("strategy"), "channel");
  const json inspection = ask("inspect", {"--model", output("out").string()});
  for (const json& layer : inspection.at("layers")) {
    const bool kept = layer.at("name").get<std::string>().find("layers.0.fc") != std::string::npos;
    EXPECT_EQ(layer.at("dtype"), kept ? "float16" : "int4") << layer;
  }
}

TEST_F(Quantize, PackAndUnpackGiveTheBytesBack) {
  model_ = test::model_folder();
  text_ = test::calibration_text();
  run({"--target", "0.7"}, "dense");
  run({"--target", "0.7", "--wbits", "4", "--asym"}, "quantized");
  for (const std::string name : {"dense", "quantized"}) {
    SCOPED_TRACE(name);
    const json packed = ask(
        "pack", {"--model", output(name).string(), "--output", output(name + "-packed").string()});
    EXPECT_LT(packed.at("bytes"), packed.at("source_bytes"));
    EXPECT_EQ(packed.at("bytes"), fs::file_size(output(name + "-packed") / "model.prunepack"));
    EXPECT_EQ(perplexity(name + "-packed"), perplexity(name));
    ask("unpack", {"--model", output(name + "-packed").string(), "--output",
                   output(name + "-back").string()});
    for (const auto& entry : fs::directory_iterator(output(name))) {
      const fs::path file = entry.path().filename();
      EXPECT_TRUE(bytes(entry.path()) == bytes(output(name + "-back") / file)) << file;
    }
  }
}

TEST_F(Quantize, WhatCannotBeIsSaidAtOnce) {
  const auto expect_refused = [&](const Arguments& more, int code, const std::string& says) {
    const test::Outcome outcome = try_run(more);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(StartsWith("prune: "), HasSubstr(says)));
    EXPECT_FALSE(fs::exists(output("out")));
  };
  const auto expect_usage = [&](const Arguments& more, const std::string& says) {
    Arguments all = {"--target", "0.5"};
    all.insert(all.end(), more.begin(), more.end());
    expect_refused(all, exit_code(ErrorKind::kUsage), says);
  };
  expect_usage({"--wbits", "5"}, "--wbits 5 is not one of 2, 3, 4, 8, 16");
  expect_usage({"--wbits", "4", "--group-size", "100"}, "--group-size 100 is not one of");
  expect_usage({"--wbits", "4", "--group-size", "32"},
               "--group-size 32 does not divide the 48 columns of 'model.decoder.layers.0.fc2'");
  expect_usage({"--wbits", "4", "--group-size", "64", "--blocksize", "96"},
               "--blocksize 96 is not a multiple of --group-size 64");
  expect_usage({"--wbits", "4", "--refine", "5"}, "needs --solver sparsegpt and no --refine");
  expect_usage({"--wbits", "4", "--solver", "alps"}, "--solver sparsegpt");
  expect_usage({"--format", "packed"}, "--format packed needs --wbits");
  expect_usage({"--wbits", "4", "--format", "gguf"}, "--format 'gguf' is not one of");
  expect_usage({"--wbits", "4", "--sym", "--asym"}, "--sym");
}

TEST_F(Quantize, APackedModelIsPrunedAsTheDenseOneThatItStandsFor) {
  run({"--target", "0.5", "--wbits", "4"}, "packed");
  run({"--target", "0.5", "--wbits", "4", "--format", "dense"}, "dense");
  for (const std::string name : {"packed", "dense"}) {
    run({"--target", "0.7", "--model", output(name).string()}, name + "-pruned");
  }
  EXPECT_TRUE(bytes(output("packed-pruned") / "model.safetensors") ==
              bytes(output("dense-pruned") / "model.safetensors"));
  EXPECT_EQ(json::parse(bytes(output("packed-pruned") / "config.json")),
            json::parse(bytes(fs::path(model_) / "config.json")));
}

TEST_F(Quantize, WeightsThatNoFormatPacksAreWrittenDenseAndThatIsSaid) {
  const std::string model = test::tiny_model(folder_, "gpt2", "gpt2").string();
  const Arguments how = {"--model", model, "--target", "0.5", "--wbits", "4", "--seqlen", "8"};
  const auto with = [&](Arguments more) {
    more.insert(more.begin(), how.begin(), how.end());
    return more;
  };
  const json fallbacks = run(how).at("fallbacks");
  ASSERT_EQ(fallbacks.size(), 1U);
  EXPECT_EQ(fallbacks.at(0).at("where"), "--format");
  EXPECT_EQ(run(with({"--format", "dense"}), "dense").at("fallbacks").size(), 0U);
  EXPECT_TRUE(bytes(output("out") / "model.safetensors") ==
              bytes(output("dense") / "model.safetensors"));
  for (const Arguments& more : {Arguments{"--strict"}, {"--format", "packed"}}) {
    const test::Outcome refused = try_run(with(more), "refused");
    EXPECT_NE(refused.code, 0);
    EXPECT_THAT(refused.err, HasSubstr("model_type 'gpt2' stores weights transposed"));
  }
}

}  // namespace
}  // namespace prune
