#include <sys/wait.h>

#include <algorithm>
#include <cmath>

#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::bytes;
using test::Outcome;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using Weight = std::vector<c10::Half>;

/// Runs on numerically extreme models and texts.
class NumericEdge : public testing::Test {
 protected:
  NumericEdge()
      : model_(test::tiny_model(folder_)),
        text_(folder_.write("text.txt", test::tiny_text()).string()) {}

  fs::path output() const { return folder_.path() / "out"; }

  Outcome run(const std::vector<std::string>& more, const std::string& nsamples = "4",
              const std::string& seqlen = "32") const {
    std::vector<std::string> all = {"--model",    model_.string(),   "--calibration", text_,
                                    "--nsamples", nsamples,          "--seqlen",      seqlen,
                                    "--output",   output().string(), "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return test::run_prune(all);
  }

  /// The run must succeed with finite numbers and with every layer at its sparsity; the layer named `sparser`
  /// may exceed it.
  json expect_pruned(const Outcome& outcome, const std::string& sparser = "") const {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    if (outcome.code != 0) return {};
    const json report = test::read_report(output());
    for (const json& layer : report.at("layers")) {
      const std::string name = layer.at("name").get<std::string>();
      const double weights =
          layer.at("shape")[0].get<double>() * layer.at("shape")[1].get<double>();
      const double zeros = layer.at("sparsity_reached").get<double>() * weights;
      const double asked = layer.at("sparsity_asked").get<double>() * weights;
      if (name == sparser) {
        EXPECT_GT(zeros, asked) << name;
      } else {
        EXPECT_EQ(std::llround(zeros), std::llround(asked)) << name;
      }
      EXPECT_TRUE(layer.at("loss_measured").is_number()) << name;
    }
    return report;
  }

  test::TemporaryFolder folder_;
  fs::path model_;
  std::string text_;
};

TEST_F(NumericEdge, FewerTokensThanColumns) {
  const json report = expect_pruned(run({"--target", "0.6", "--strict"}, "1", "8"));
  EXPECT_TRUE(report.at("fallbacks").empty());
}

TEST_F(NumericEdge, DampIsRaisedAndReportedOrRefused) {
  const json report = expect_pruned(run({"--target", "0.6", "--percdamp", "0"}, "1", "8"));
  ASSERT_FALSE(report.at("fallbacks").empty());
  const json& fallback = report.at("fallbacks").back();
  EXPECT_THAT(fallback.at("where").get<std::string>(), HasSubstr("model.decoder.layers.1."));
  EXPECT_THAT(fallback.at("what").get<std::string>(), HasSubstr("damp raised"));
  EXPECT_GT(report.at("layers").back().at("damp_used").get<double>(), 0.0);
  fs::remove_all(output());
  const Outcome strict = run({"--target", "0.6", "--percdamp", "0", "--strict"}, "1", "8");
  EXPECT_EQ(strict.code, exit_code(ErrorKind::kNumeric));
  EXPECT_THAT(strict.err, AllOf(HasSubstr("model.decoder.layers.0."), HasSubstr("damp raised"),
                                HasSubstr("refused by --strict")));
}

TEST_F(NumericEdge, DeadInputs) {
  for (const char* part : {"weight", "bias"}) {
    test::change_tensor(model_, std::string("model.decoder.layers.0.self_attn_layer_norm.") + part,
                        [](Weight& values) { values[5] = 0; });
  }
  expect_pruned(run({"--target", "0.6"}));
  const auto expect_dead = [](const Weight& weight) {
    for (size_t row = 0; row < 32; ++row) EXPECT_EQ(weight[row * 32 + 5], 0) << row;
  };
  // Their inputs are always zero, so these weights are pruned first.
  test::change_tensor(output(), "model.decoder.layers.0.self_attn.q_proj.weight", expect_dead);
}

TEST_F(NumericEdge, LayerOfZeros) {
  for (const char* loss : {"stream", "relative", "absolute"}) {
    const std::string name = "model.decoder.layers.0.fc2";
    test::change_tensor(model_, name + ".weight",
                        [](Weight& weight) { std::ranges::fill(weight, c10::Half(0)); });
    const json report = expect_pruned(run({"--target", "0.6", "--loss", loss}), name);
    const json& layers = report.at("layers");
    const auto zero =
        std::ranges::find_if(layers, [&](const json& layer) { return layer.at("name") == name; });
    ASSERT_NE(zero, layers.end());
    EXPECT_EQ(zero->at("sparsity_reached"), 1.0);
    EXPECT_EQ(zero->at("energy"), 0.0);
    EXPECT_EQ(zero->at("loss_measured"), 0.0);
    fs::remove_all(output());
  }
}

TEST_F(NumericEdge, OutlierChannels) {
  test::change_tensor(model_, "model.decoder.layers.0.self_attn_layer_norm.weight",
                      [](Weight& values) {
                        values[3] = 3000;
                        values[17] = -1000;
                      });
  const json report = expect_pruned(run({"--target", "0.6", "--strict", "--eval", text_}));
  EXPECT_TRUE(report.at("evaluation").at("perplexity_pruned").is_number());
}

TEST_F(NumericEdge, OverflowIsNamedWhereItArises) {
  test::change_tensor(model_, "model.decoder.layers.1.fc1.weight",
                      [](Weight& weight) { std::ranges::fill(weight, c10::Half(6e4F)); });
  test::change_tensor(model_, "model.decoder.layers.1.fc1.bias",
                      [](Weight& bias) { std::ranges::fill(bias, c10::Half(6e4F)); });
  const Outcome estimating = run({"--target", "0.6", "--dtype", "float16"});
  EXPECT_EQ(estimating.code, exit_code(ErrorKind::kNumeric));
  EXPECT_THAT(estimating.err, HasSubstr("numeric error: model.decoder.layers.1.fc1: the layer's "
                                        "output is not finite in float16"));
  fs::remove_all(output().string() + ".partial");
  const Outcome uniform = run({"--target", "0.6", "--dtype", "float16", "--schedule", "uniform"});
  EXPECT_EQ(uniform.code, exit_code(ErrorKind::kNumeric));
  EXPECT_THAT(uniform.err,
              HasSubstr("numeric error: model.decoder.layers.1.fc2: the activations that the "
                        "layer reads are not finite in calibration sample 0"));
}

TEST_F(NumericEdge, PrunedWeightsThatTheirDtypeCannotHoldAreNamed) {
  // The compensation for pruned weights adds to others that are already the largest.
  test::change_tensor(model_, "model.decoder.layers.0.fc1.weight", [](Weight& weight) {
    for (size_t i = 0; i < weight.size(); ++i) {
      weight[i] = i % 3 == 0 ? -65504.0F : 65504.0F;
    }
  });
  const Outcome outcome = run({"--target", "0.5", "--schedule", "uniform"});
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kNumeric));
  EXPECT_THAT(outcome.err, HasSubstr("prune: numeric error: model.decoder.layers.0.fc1: the pruned "
                                     "weights do not fit into float16"));
}

TEST_F(NumericEdge, ScoresThatAreNotFiniteAreNamed) {
  test::change_tensor(model_, "model.decoder.final_layer_norm.weight",
                      [](Weight& values) { std::ranges::fill(values, c10::Half(6e4F)); });
  const auto expect_error = [&](const std::vector<std::string>& what, const std::string& says) {
    std::vector<std::string> arguments = {"eval",    "--model", model_.string(),
                                          "--dtype", "float16", "--quiet"};
    arguments.insert(arguments.end(), what.begin(), what.end());
    const Outcome outcome = test::run_prune(arguments);
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kNumeric));
    EXPECT_THAT(outcome.err, AllOf(StartsWith("prune: numeric error: " + says), EndsWith("nan\n")));
  };
  expect_error({"--data", text_, "--seqlen", "32", "--segments", "2"},
               "the loss of evaluation segment 0 is ");
  const fs::path task =
      folder_.write("task.jsonl", R"({"context": "one", "choices": ["and", "two"], "answer": 1})");
  expect_error({"--task", task.string()}, "the log-likelihood of item 0, choice 0 is ");
}

TEST_F(NumericEdge, ALayerThatIsSparserAlreadyKeepsItsBytes) {
  expect_pruned(run({"--target", "0.6"}));
  const std::string before = bytes(output() / "model.safetensors");
  fs::rename(output(), folder_.path() / "sparse");
  model_ = folder_.path() / "sparse";
  ASSERT_EQ(run({"--target", "0.3", "--schedule", "uniform"}).code, 0);
  EXPECT_TRUE(bytes(output() / "model.safetensors") == before);
}

}  // namespace
}  // namespace prune
